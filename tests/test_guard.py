"""Tests without a marker cannot load weights, or start a browser or a cluster."""

from __future__ import annotations

import subprocess
import sys

import pytest

from impasto.weights import load

LOADS = "from impasto.weights import load; load('vgg19')"
STARTS_RAY = "import ray; ray.init('local', num_cpus=1)"
STARTS_BROWSER = "from playwright.sync_api import sync_playwright; sync_playwright().start()"


def test_unmarked_test_cannot_load_weights() -> None:
    with pytest.raises(RuntimeError, match="without the marker weights"):
        load("vgg19")


@pytest.mark.parametrize(("code", "marker"), [(LOADS, "weights"), (STARTS_RAY, "cluster"), (STARTS_BROWSER, "browser")])
def test_child_of_unmarked_test_cannot_load_weights(code: str, marker: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert f"without the marker {marker}" in done.stderr


@pytest.mark.weights
def test_marked_test_may_load_weights() -> None:
    assert load("vgg19").kernels
