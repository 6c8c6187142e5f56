"""Transparent and narrow paintings: what is not there is not measured, and what is needed is not shrunk away."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image

import impasto
from impasto import images
from impasto.core.tensor_store import RamStore
from impasto.errors import ImageError
from impasto.images import color
from impasto.run import prepare_run
from impasto.run.loading import load_inputs

SMALL: dict[str, Any] = {"size": 64, "iterations": 4, "precision": "float32", "supersample": 1}


@pytest.fixture(scope="module")
def sticker() -> np.ndarray:
    """Return a painting (H, W, 4) that is transparent around a disc."""
    pixels = np.random.default_rng(0).uniform(0, 1, (56, 64, 4)).astype(np.float32)
    rows, columns = np.mgrid[:56, :64]
    pixels[:, :, 3] = np.clip(24 - np.hypot(rows - 28, columns - 32), 0, 1)
    return pixels


@pytest.mark.weights
@pytest.mark.parametrize("color", ["style", "luminance"])
def test_alpha_of_a_style_is_its_mask(photo: Path, sticker: np.ndarray, color: Literal["style", "luminance"]) -> None:
    painted = impasto.stylize(photo, sticker, color=color, **SMALL)
    loaded = images.load(sticker)
    assert loaded.alpha is not None
    if color == "style":
        opaque, alpha = loaded.pixels[0].permute(1, 2, 0).numpy(), loaded.alpha[0, 0].numpy()
        masked = impasto.stylize(photo, opaque, style_masks=[alpha], color=color, **SMALL)
        assert (painted.image - masked.image).abs().mean() < 1e-3
    flat = impasto.stylize(photo, loaded.pixels, color=color, **SMALL)
    assert (painted.image - flat.image).abs().mean() > 0.01


@pytest.mark.weights
def test_alpha_and_style_mask_go_together(photo: Path, sticker: np.ndarray) -> None:
    left = np.zeros((56, 64), np.float32)
    left[:, :32] = 1
    both = impasto.stylize(photo, sticker, style_masks=[left], **SMALL)
    loaded = images.load(sticker)
    opaque, alpha = loaded.pixels[0].permute(1, 2, 0).numpy(), images.load(sticker).alpha
    assert alpha is not None
    expected = impasto.stylize(photo, opaque, style_masks=[alpha[0, 0].numpy() * left], **SMALL)
    assert (both.image - expected.image).abs().mean() < 1e-3


def test_transparent_style_counts_as_a_region(photo: Path, sticker: np.ndarray) -> None:
    opaque = sticker.copy()
    opaque[:, :, 3] = 1
    assert [prepare_run(photo, style, size=64).workload.regions for style in (sticker[:, :, :3], sticker)] == [0, 1]
    assert prepare_run(photo, opaque, size=64).workload.regions == 1  # an upper bound: known only when it is decoded


@pytest.mark.parametrize("method", ["cholesky", "pca", "ot", "histogram"])
def test_transparent_colors_do_not_count(method: color.Transfer) -> None:
    noise = torch.rand(1, 3, 60, 80, generator=torch.Generator().manual_seed(1))
    content = torch.rand(1, 3, 60, 80, generator=torch.Generator().manual_seed(2)) * 0.5 + 0.2
    alpha = torch.zeros(1, 1, 60, 80)
    alpha[..., :40] = 1
    flat = noise * alpha + 0.5 * (1 - alpha)
    matched = color.match_colors(RamStore(), flat, content, method, alpha)
    expected = color.match_colors(RamStore(), noise[..., :40].contiguous(), content, method)
    assert torch.allclose(matched[..., :40], expected, atol=2e-3)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_refuses_a_wholly_transparent_picture(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "clear.png"
    Image.new(mode, (32, 32)).save(path)
    with pytest.raises(ImageError, match=r"clear\.png is wholly transparent"):
        images.load(path)


@pytest.mark.weights
def test_style_losses_without_masks_say_so(photo: Path, sticker: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="impasto"):
        impasto.stylize(photo, sticker, style_loss="sliced-wasserstein", **SMALL)
    assert "Transparent parts of a style count as flat paint" in caplog.text


@pytest.mark.weights
def test_narrow_style_keeps_the_sides_that_the_network_needs(photo: Path) -> None:
    strip = np.random.default_rng(3).uniform(0, 1, (32, 512, 3)).astype(np.float32)
    run = prepare_run(photo, strip, **SMALL)
    ((height, width),) = run.workload.styles
    assert (min(height, width), max(height, width)) == (16, 256)
    assert run.workload.height < 64
    assert impasto.stylize(photo, strip, **SMALL).image.shape[3] == 64


@pytest.mark.weights
def test_small_style_is_enlarged_and_said_beforehand(photo: Path, caplog: pytest.LogCaptureFixture) -> None:
    noise = np.random.default_rng(4).uniform(0, 1, (38, 48, 3)).astype(np.float32)
    run = prepare_run(photo, noise, **SMALL | {"size": 256, "enlarge": True})
    assert run.workload.styles == ((152, 192),)
    loaded = load_inputs(run.inputs, run.resolved, run.options, run.engine)
    assert loaded.styles[0].picture.pixels.shape[2:] == (152, 192)
    assert "has only 48 px" in caplog.text
    assert "soft strokes" in caplog.text


@pytest.mark.weights
@pytest.mark.parametrize(
    ("long_side_px", "scale", "measured_px"), [(200, "1", 200), (192, "1", 192), (32, "1", 128), (48, "0.25", 64)]
)
def test_style_is_enlarged_only_as_far_as_it_helps(
    photo: Path, long_side_px: int, scale: str, measured_px: int
) -> None:
    style = np.full((long_side_px, long_side_px, 3), 0.5, np.float32)
    run = prepare_run(photo, style, **SMALL | {"size": 256, "enlarge": True, "style_scale": scale})
    assert run.workload.styles == ((measured_px, measured_px),)


@pytest.mark.weights
def test_style_is_enlarged_on_request(photo: Path, caplog: pytest.LogCaptureFixture) -> None:
    style = np.random.default_rng(4).uniform(0, 1, (225, 300, 3)).astype(np.float32)

    def load(**options: Any) -> tuple[int, ...]:
        caplog.clear()
        run = prepare_run(photo, style, **SMALL | {"size": 768, "enlarge": True} | options)
        loaded = load_inputs(run.inputs, run.resolved, run.options, run.engine).styles[0].picture.pixels.shape[2:]
        assert run.workload.styles == (tuple(loaded),)
        return tuple(loaded)

    assert load() == (225, 300)
    assert "has only 300 px for a picture of 768 px, so its strokes come out finer" in caplog.text
    assert load(style_scale="0.5") == (225, 300)
    assert not caplog.text
    assert load(size=512) == (225, 300)
    assert not caplog.text
    assert load(enlarge_style=True) == (576, 768)
    assert "gives soft strokes" in caplog.text
    assert load(enlarge_style=True, style_scale="2") == (900, 1200)
