"""The nodes for ComfyUI, in a stand-in for it, with a real studio."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.comfyui import Comfy, InterruptProcessingException, defaults_of, load_custom_node, run_node, run_workflow
from builders.commands import run_command
from builders.servers import RunningStudio
from builders.waiting import wait_until
from impasto_client import Client, JobFailedError, NoStudioError, RequestError
from PIL import Image
from torch import Tensor

from impasto.config import Config
from impasto.config.model import choices_of
from impasto.config.networks import NETWORK_NAMES
from impasto.config.presets import PRESETS

pytestmark = pytest.mark.xdist_group("client")

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "clients" / "comfyui" / "impasto_comfyui"
ENDED = ("done", "failed", "cancelled")


@pytest.fixture(scope="module")
def nodes() -> dict[str, type]:
    """Load the nodes."""
    module = load_custom_node(FOLDER)
    mappings: dict[str, type] = module.NODE_CLASS_MAPPINGS
    assert mappings.keys() == module.NODE_DISPLAY_NAME_MAPPINGS.keys()
    return mappings


@pytest.fixture
def comfy(monkeypatch: pytest.MonkeyPatch, studio: RunningStudio) -> Comfy:
    comfy = Comfy()
    comfy.install(monkeypatch)
    monkeypatch.setenv("IMPASTO_URL", studio.address)
    return comfy


@pytest.fixture(scope="module")
def content(photo: Path) -> Tensor:
    return load(photo)


@pytest.fixture(scope="module")
def style(painting: Path) -> Tensor:
    return load(painting)


def load(path: Path) -> Tensor:
    """Load a picture as ComfyUI does: (1, H, W, 3) from 0 to 1."""
    with Image.open(path) as image:
        image.thumbnail((160, 160))
        return torch.from_numpy(np.asarray(image.convert("RGB"), np.float32)[None] / 255)


def options(nodes: dict[str, type], **inputs: Any) -> dict[str, Any]:
    collected: dict[str, Any] = run_node(
        nodes["ImpastoOptions"],
        **defaults_of(nodes["ImpastoOptions"]) | {"iterations": 4, "more": "scales = 1"} | inputs,
    )[0]
    return collected


def stylize(nodes: dict[str, type], content: Tensor, style: Tensor, **inputs: Any) -> Tensor:
    widgets = defaults_of(nodes["ImpastoStylize"]) | {"size": 64, "options": options(nodes)}
    painted: Tensor = run_node(nodes["ImpastoStylize"], content=content, style=style, **widgets | inputs)[0]
    return painted


@pytest.mark.weights
def test_paints_a_batch_with_progress_and_previews(
    nodes: dict[str, type], comfy: Comfy, content: Tensor, style: Tensor
) -> None:
    painted = stylize(nodes, content.repeat(2, 1, 1, 1), style)
    assert painted.dtype == torch.float32
    assert painted.shape[0] == 2
    assert max(painted.shape[1:3]) == 64
    assert 0 <= painted.min() < painted.max() <= 1
    values = [value for value, _, _ in comfy.updates]
    assert values == sorted(values)
    assert comfy.updates[-1][:2] == (2000, 2000)
    assert any(preview for _, _, preview in comfy.updates)


@pytest.mark.weights
def test_paints_where_the_mask_is_white(nodes: dict[str, type], comfy: Comfy, content: Tensor, style: Tensor) -> None:
    mask = torch.zeros(1, *content.shape[1:3])
    mask[:, :, : content.shape[2] // 2] = 1
    painted, plain = (stylize(nodes, content, style, mask=each) for each in (mask, torch.ones_like(mask)))
    small = torch.nn.functional.interpolate(content.movedim(-1, 1), painted.shape[1:3], mode="area").movedim(1, -1)
    half = painted.shape[2] // 2 + 4
    assert (painted - small)[:, :, half:].abs().mean() < 0.05
    assert (painted - small)[:, :, : half - 8].abs().mean() > 0.1
    assert (plain - small)[:, :, half:].abs().mean() > 0.1


@pytest.mark.weights
def test_blends_styles_and_repeats_by_seed(
    nodes: dict[str, type], comfy: Comfy, content: Tensor, style: Tensor
) -> None:
    one, again, other, blended = (
        stylize(nodes, content, style, **inputs)
        for inputs in ({}, {}, {"seed": 3}, {"style_2": style.flip(1, 3)[:, :100] ** 2})
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(one, blended)


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    """Read the example workflow."""
    workflow: dict[str, Any] = json.loads((FOLDER / "example_workflows" / "impasto.json").read_text())
    return workflow


@pytest.fixture(scope="module")
def sample_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write the sample pictures with the command of the guide, and return them by their file name."""
    command = "impasto samples write ComfyUI/input"
    assert command in (ROOT / "docs" / "guides" / "comfyui.md").read_text().splitlines()
    folder = tmp_path_factory.mktemp("comfyui")
    (folder / "ComfyUI" / "input").mkdir(parents=True)
    assert run_command(*command.split()[1:], cwd=folder).returncode == 0
    return {path.name: path for path in (folder / "ComfyUI" / "input").iterdir()}


def test_example_workflow_loads_the_sample_pictures(workflow: dict[str, Any], sample_files: dict[str, Path]) -> None:
    names = [node["widgets_values"][0] for node in workflow["nodes"] if node["type"] == "LoadImage"]
    assert names == ["cat.jpg", "swirl.png"]
    assert set(names) <= set(sample_files)


@pytest.mark.weights
@pytest.mark.usefixtures("score_networks")
def test_example_workflow_runs(
    nodes: dict[str, type], comfy: Comfy, workflow: dict[str, Any], sample_files: dict[str, Path]
) -> None:
    changes = {"size": 96, "iterations": 3, "more": "scales = 1"}
    pictures = {name: load(path) for name, path in sample_files.items()}
    outputs = run_workflow(workflow, nodes, pictures, changes)
    images, grid = outputs[5]
    assert images.shape[0] == 3
    assert grid.shape[1:3] == (images.shape[1], 3 * images.shape[2])
    assert torch.equal(grid[0, :, : images.shape[2]], images[0])
    text, style_score, content_score = outputs[6]
    assert text.startswith(f"style: {style_score:.3f}\ncontent: {content_score:.3f}\n")
    assert outputs[7][0].shape == outputs[4][0].shape


@pytest.mark.weights
def test_sweeps_an_option_that_changes_the_size(
    nodes: dict[str, type], comfy: Comfy, content: Tensor, style: Tensor
) -> None:
    widgets = defaults_of(nodes["ImpastoSweep"]) | {"option": "size", "values": "48, 64, 32", "columns": 2}
    images, grid = run_node(nodes["ImpastoSweep"], content=content, style=style, options=options(nodes), **widgets)
    assert images.shape[0] == 3
    assert max(images.shape[1:3]) == 64
    assert grid.shape[1:3] == (2 * images.shape[1], 2 * images.shape[2])
    assert grid[0, -1, -1].tolist() == [1, 1, 1]


@pytest.mark.weights
@pytest.mark.parametrize("interrupt_at", [None, 1])
def test_cancels(
    nodes: dict[str, type],
    comfy: Comfy,
    studio: RunningStudio,
    content: Tensor,
    style: Tensor,
    interrupt_at: int | None,
) -> None:
    comfy.is_interrupted, comfy.interrupt_at = interrupt_at is None, interrupt_at
    with pytest.raises(InterruptProcessingException):
        stylize(nodes, content.repeat(2, 1, 1, 1), style, options=options(nodes, iterations=4000))
    jobs = Client(studio.address).jobs()[-2:]
    wait_until(lambda: all(job.view()["state"] in ENDED for job in jobs))
    assert [job.view()["state"] for job in jobs] == ["cancelled"] * 2


@pytest.mark.weights
def test_errors_can_be_read(
    nodes: dict[str, type], comfy: Comfy, content: Tensor, style: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RequestError, match="paddign"):
        stylize(nodes, content, style, options=options(nodes, more="paddign = reflect"))
    with pytest.raises(ValueError, match="name = value"):
        options(nodes, more="padding")
    with pytest.raises(ValueError, match="no values"):
        run_node(
            nodes["ImpastoSweep"], content=content, style=style, **defaults_of(nodes["ImpastoSweep"]) | {"values": ","}
        )
    with pytest.raises(JobFailedError, match="area to paint is empty"):
        stylize(nodes, content, style, mask=torch.zeros(1, 8, 8))
    monkeypatch.setenv("IMPASTO_URL", "http://127.0.0.1:9")
    with pytest.raises(NoStudioError, match="impasto studio"):
        stylize(nodes, content, style)


def test_another_studio_paints_again(nodes: dict[str, type], comfy: Comfy, studio: RunningStudio) -> None:
    is_changed = nodes["ImpastoStylize"].IS_CHANGED  # type: ignore[attr-defined]
    assert is_changed(preset="painterly") == Client(studio.address).check()
    assert is_changed(options={"url": "http://127.0.0.1:9"}, size=64) == ""


def test_inputs_have_the_choices_of_the_studio(nodes: dict[str, type]) -> None:
    assert nodes["ImpastoStylize"].INPUT_TYPES()["required"]["preset"][0] == list(PRESETS)  # type: ignore[attr-defined]
    declared = nodes["ImpastoOptions"].INPUT_TYPES()["required"]  # type: ignore[attr-defined]
    for name in ("effort", "color", "wrap"):
        assert declared[name][0][1:] == choices_of(Config.model_fields[name])
    assert declared["network"][0][1:] == list(NETWORK_NAMES.names)
    assert options(nodes, iterations=0, more="") == {}
    assert options(nodes, color="style", more="style-weights = [2, 1]\n\npadding = reflect") == {
        "color": "style",
        "iterations": 4,
        "style_weights": [2, 1],
        "padding": "reflect",
    }


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_modules_import_only_what_comfyui_has(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    names = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names} | {
        node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom) and not node.level
    }
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names | {"numpy", "PIL", "impasto_client"}
