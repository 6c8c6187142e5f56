"""Plug-ins: style losses and networks of other packages, known by name and imported on use."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from builders.networks import TINY
from builders.runs import build_run

import impasto
from impasto.config import Config
from impasto.config.networks import NETWORK_NAMES, architecture
from impasto.config.registry import Registry
from impasto.config.style_losses import STYLE_LOSS_NAMES
from impasto.core.encoder import Encoder
from impasto.errors import ConfigError, WeightsError
from impasto.run import drive
from impasto.weights import is_cached, load

PLUGIN = Path(__file__).parent.parent / "examples" / "plugin"

LOSS = "impasto_mean:channel_means"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Make a site-packages folder with the example, and a package that cannot be imported."""
    shutil.copy(PLUGIN / "impasto_mean.py", tmp_path)
    for name, entry in (("impasto_mean", f"mean = {LOSS}"), ("impasto_broken", "broken = no_such_module:loss")):
        declare(tmp_path, name, entry)
    return tmp_path


def declare(site: Path, name: str, entries: str) -> None:
    """Write the metadata of an installed package that declares style losses."""
    folder = site / f"{name}-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    (folder / "entry_points.txt").write_text(f"[impasto.style_losses]\n{entries}\n")


def run_python(code: str, folder: Path) -> str:
    return start_python(code, folder).stdout


def start_python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "COLUMNS": "400"}
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return process


def test_help_lists_a_plug_in_without_importing_it(installed: Path) -> None:
    code = (
        "import sys; from impasto.cli import app; app(['stylize', '--help'], result_action='return_value');"
        "print('impasto_mean' in sys.modules)"
    )
    shown = run_python(code, installed)
    assert "neighbor, mean" in shown
    assert shown.rstrip().endswith("False")


def test_names_are_validated_without_torch_or_plug_in(installed: Path) -> None:
    code = (
        "import sys; from impasto.config import Config; print(Config(style_loss='mean').style_loss);"
        "print([name for name in ('torch', 'impasto_mean') if name in sys.modules])"
    )
    assert run_python(code, installed).split() == ["mean", "[]"]


def test_installed_plug_in_is_known_everywhere(installed: Path) -> None:
    code = """
import json
from impasto.config import Config
from impasto.core.style_losses import find_style_loss
from impasto.errors import ConfigError
from impasto.studio.options import form
found = {"config": Config(style_loss="mean").overrides()}
found["studio"] = next(field.choices for field in form().fields if field.name == "style_loss")
found["features"] = find_style_loss("mean").needs_features
try:
    find_style_loss("broken")
except ConfigError as error:
    found["broken"] = str(error)
print(json.dumps(found))
"""
    result: dict[str, Any] = json.loads(run_python(code, installed))
    assert result["config"] == {"style_loss": "mean"}
    assert result["studio"][-2:] == ["broken", "mean"] or result["studio"][-2:] == ["mean", "broken"]
    assert result["features"] is False
    assert "impasto_broken" in result["broken"]
    assert "\n" not in result["broken"]


CLASHES = """
import impasto
from impasto.config import Config
from impasto.core.style_losses import find_style_loss
from impasto.errors import ConfigError
assert Config(style_loss="gram").style_loss == "gram"
assert find_style_loss("gram").target.__module__ == "impasto.core.style_losses"
try:
    Config(style_loss="mean")
except ConfigError as error:
    print(error)
"""


def test_clashing_names_are_reported(tmp_path: Path) -> None:
    for package in ("one", "two"):
        declare(tmp_path, package, f"gram = {package}:loss\nmean = {package}:loss")
    done = start_python(CLASHES, tmp_path)
    assert done.stdout == "style_loss 'mean' is declared by one and two. Uninstall all but one of them.\n"
    assert done.stderr.count("style_loss 'gram' of one and two is ignored: that name is built in") == 1
    assert done.stderr.count("style_loss 'mean' is declared by one and two, so it cannot be used") == 1


def test_example_declares_what_the_tests_install() -> None:
    assert f'mean = "{LOSS}"' in (PLUGIN / "pyproject.toml").read_text()
    code = [line for line in (PLUGIN / "impasto_mean.py").read_text().splitlines() if line.strip()]
    assert len(code) <= 15


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the example's loss and a network for one test."""
    monkeypatch.syspath_prepend(PLUGIN)
    for registry in (STYLE_LOSS_NAMES, NETWORK_NAMES):
        monkeypatch.setattr(registry, "_registered", {})
    impasto.register_style_loss("channel-means", LOSS)
    impasto.register_network("tiny", "builders.networks:TINY")


@pytest.mark.usefixtures("registered")
def test_registered_style_loss_paints_and_is_recorded(tiny: Encoder) -> None:
    layers = {"content_layers": "relu2_1", "style_layers": "relu1_1,relu2_1"}
    config = Config(style_loss="channel-means", iterations=10, scales=1, alpha=100, **layers)
    result = drive(build_run(tiny, config))
    assert result.recipe.config.style_loss == "channel-means"
    assert torch.isfinite(result.image).all()
    assert result.recipe.trace is not None
    totals = result.recipe.trace.numbers["total"]
    assert totals[-1] < totals[0]


@pytest.mark.usefixtures("registered")
def test_registered_network_uses_its_own_layers_and_weights() -> None:
    assert architecture("tiny") == TINY
    assert Config(network="tiny").resolve(64, 64).iterations == TINY.iterations
    assert not is_cached("tiny")
    with pytest.raises(WeightsError, match="--weights FILE"):
        load("tiny")


@pytest.mark.parametrize(
    ("name", "path", "message"),
    [("gram", LOSS, "exists already"), ("new", "impasto_mean", "module:attribute"), ("", LOSS, "not an import path")],
)
def test_invalid_registration_is_a_one_line_error(name: str, path: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Registry("style_loss", "impasto.style_losses", ("gram",)).register(name, path)


def test_unknown_name_error_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'wasserstein'"):
        Config(style_loss="waserstein")
