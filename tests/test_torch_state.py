"""Torch's global state: a call neither depends on it nor changes it; a forked process says what is wrong."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from torch import Tensor

import impasto
from impasto.engine.torch_state import torch_state


@contextlib.contextmanager
def default_type() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


STATES: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "default type": default_type,
    "default device": lambda: torch.device("meta"),
}


def paint(photo: Path, painting: Path) -> Tensor:
    return impasto.stylize(photo, painting, size=48, iterations=3, precision="float32", threads=1).image


@pytest.fixture(scope="module")
def expected(photo: Path, painting: Path) -> Tensor:
    return paint(photo, painting)


@pytest.mark.weights
@pytest.mark.parametrize("state", STATES)
def test_callers_state_changes_no_pixel(photo: Path, painting: Path, expected: Tensor, state: str) -> None:
    with STATES[state]():
        image = paint(photo, painting)
    assert torch.equal(image, expected)


@pytest.mark.weights
def test_run_restores_the_state_after_each_step(photo: Path, painting: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            for _ in impasto.stylize_steps(photo, painting, size=48, iterations=2, threads=1):
                assert torch.is_inference_mode_enabled()
                assert torch.is_autocast_enabled("cpu")
                assert torch.get_num_threads() == 3
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


def test_state_is_restored_after_an_error() -> None:
    threads = torch.get_num_threads()

    def fail() -> None:
        with torch_state(threads + 1):
            assert torch.get_num_threads() == threads + 1
            assert torch.get_default_dtype() is torch.float32
            torch.set_num_threads(threads + 2)
            raise ZeroDivisionError

    with default_type(), pytest.raises(ZeroDivisionError):
        fail()
    assert torch.get_num_threads() == threads


FORK = """
import os, sys, torch
from impasto.engine.torch_state import torch_state
from impasto.errors import ForkError
torch.set_num_threads(2)
with torch_state():
    torch.rand(1000, 1000).exp().sum()
child = os.fork()
if child == 0:
    try:
        with torch_state():
            torch.rand(1000, 1000).exp().sum()
    except ForkError as error:
        print(error, flush=True)
        os._exit(3)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_forked_process_is_told_to_spawn() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORK]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    message, status = result.stdout.strip().splitlines()
    assert status == "3"
    assert "multiprocessing.get_context('spawn')" in message
