"""Paintings of flat colors: found by their detail, and painted so that the photo can be seen in their colors."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.pixels import one_color
from torch import Tensor

import impasto
from impasto import images, samples
from impasto.config import Config, Inputs, ResolvedConfig
from impasto.core.tensor_store import RamStore
from impasto.images.color import LEAST_DEVIATION, recolor
from impasto.images.detail import FLAT_DETAIL, is_flat, measure_detail
from impasto.images.oklab import to_oklab
from impasto.metrics.colors import palette as palette_distance
from impasto.run import Run, drive, prepare_run
from impasto.run.checkpoint import read_checkpoint
from impasto.run.loss_trace import LossTrace

RED, BLACK = (0.8, 0.13, 0.13), (0.0, 0.0, 0.0)


def color_fields(side: int = 160) -> Tensor:
    """Return two soft fields on a dark ground, with a little canvas."""
    image = one_color((0.36, 0.08, 0.09), side, side)
    image[:, :, side // 10 : side // 2, side // 10 : -side // 10] = torch.tensor((0.85, 0.37, 0.1)).view(1, 3, 1, 1)
    image[:, :, 6 * side // 10 : 9 * side // 10, side // 10 : -side // 10] = torch.tensor((0.15, 0.03, 0.08)).view(
        1, 3, 1, 1
    )
    noise = 0.01 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    return (image + noise).clamp(0, 1)


def detail(picture: Any) -> float:
    return measure_detail(images.open_image(picture))


def resolve(style: Any, **options: Any) -> ResolvedConfig:
    return Run(Inputs(content=samples.photo_path("cat"), styles=(style,)), Config(size=64, **options)).resolved


@pytest.mark.parametrize("name", ["swirl", "dots", "mosaic", "ink"])
def test_paintings_are_not_flat(name: str) -> None:
    assert detail(samples.paint(name, size_px=256)) > 1.2 * FLAT_DETAIL


def test_photo_is_not_flat() -> None:
    assert detail(samples.photo_path("cat")) > 1.2 * FLAT_DETAIL


@pytest.mark.parametrize(
    "picture", [one_color(RED, 96, 96), one_color(BLACK, 96, 96), color_fields(), one_color(RED, 5, 5)]
)
def test_fields_of_color_are_flat(picture: Tensor) -> None:
    assert is_flat(images.open_image(picture))


def test_transparent_parts_do_not_count() -> None:
    strokes = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    alpha = np.full((64, 64, 1), 255, np.uint8)
    sticker = np.concatenate([strokes, alpha], axis=2)
    sticker[:, 8:, 3] = 0
    sticker[:, 8:, :3] = 128
    assert detail(sticker) == pytest.approx(detail(np.ascontiguousarray(sticker[:, :8])), rel=0.3)


def test_start_and_palette_follow_the_painting() -> None:
    flat, strokes = resolve(one_color(RED, 96, 96)), resolve(samples.paint("swirl", size_px=96))
    assert (flat.init, flat.palette_strength) == ("recolored", 0.5)
    assert (strokes.init, strokes.palette_strength) == ("noise", 1)
    assert resolve(one_color(RED, 96, 96), init="noise", palette_strength=0.3).palette_strength == 0.3
    assert resolve(one_color(RED, 96, 96), init="noise").init == "noise"
    assert resolve(one_color(RED, 96, 96), color="luminance").palette_strength == 0


def test_one_strokeful_painting_among_flat_ones_starts_from_noise() -> None:
    styles = (one_color(RED, 96, 96), samples.paint("swirl", size_px=96))
    assert Run(Inputs(content=samples.photo_path("cat"), styles=styles), Config(size=64)).resolved.init == "noise"


def test_recolored_photo_keeps_shapes_in_a_single_color() -> None:
    photo = images.load(samples.photo_path("cat"), long_side_px=96).pixels
    lightness = to_oklab(recolor(RamStore(), photo, [(1.0, one_color(RED, 96, 96), None)]))[0, 0]
    assert float(lightness.std()) == pytest.approx(LEAST_DEVIATION, rel=0.1)
    mean = float(to_oklab(one_color(RED, 96, 96))[0, 0].mean())
    assert float(lightness.mean()) == pytest.approx(mean, abs=0.01)
    assert np.corrcoef(lightness.flatten(), to_oklab(photo)[0, 0].flatten())[0, 1] > 0.95


@pytest.mark.weights
@pytest.mark.parametrize(
    ("style", "size", "limit"),
    [(one_color(RED, 96, 96), 96, 3.0), (one_color(BLACK, 96, 96), 96, 6.0), (color_fields(), 160, 3.0)],
    ids=["red", "black", "fields"],
)
def test_picture_has_the_colors_of_a_flat_painting(style: Tensor, size: int, limit: float) -> None:
    result = impasto.stylize(samples.photo_path("cat"), style, size=size, iterations=40)
    assert palette_distance(result.image, style) < limit


@pytest.mark.weights
def test_photo_stays_visible_in_color_fields(tmp_path: Path) -> None:
    photo = images.load(samples.photo_path("cat"), long_side_px=96).pixels
    lightness = to_oklab(photo)[0, 0].flatten()

    def likeness(**options: Any) -> float:
        result = impasto.stylize(photo, color_fields(), size=96, iterations=20, **options)
        return float(np.corrcoef(to_oklab(result.image)[0, 0].flatten(), lightness)[0, 1])

    assert likeness() > likeness(init="noise") + 0.1


def test_fall_of_the_total_is_measured_over_recorded_steps() -> None:
    trace = LossTrace()
    assert trace.recent_fall(2) is None
    rows = [(1, step, {"total": 10.0 / step}) for step in (1, 2, 3, 4)]
    trace.restore([1, 4, rows, rows[-1]])
    assert trace.recent_fall(2) == pytest.approx(0.5)
    assert trace.recent_fall(9) is None


PHOTO, SWIRL = samples.photo_path("cat"), samples.paint("swirl", size_px=64)
SMALL: dict[str, Any] = {"size": 32, "content_layers": "relu2_1", "style_layers": "relu1_1,relu2_1"}
"""Options for tests that count steps."""


@pytest.fixture
def unsettled(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run has settled, and the most steps that it gets are few."""
    most = Config().resolve(32, 32).iterations + 7
    for name, value in (("SETTLING_STEPS", 2), ("UNSETTLED_FALL", 1e-6), ("MAX_STEPS", most)):
        monkeypatch.setattr(f"impasto.run.settling.{name}", value)


@pytest.mark.weights
def test_run_gets_more_steps_until_it_has_settled(unsettled: None, caplog: pytest.LogCaptureFixture) -> None:
    planned = Config().resolve(32, 32).iterations
    with caplog.at_level(logging.WARNING, logger="impasto"):
        *_, last = (progress for progress in impasto.stylize_steps(PHOTO, SWIRL, **SMALL))
    assert last.iteration == planned + 8
    assert last.is_last
    assert last.planned_steps == last.step
    assert "has not settled: its loss fell by" in caplog.text


@pytest.mark.weights
def test_run_with_a_given_number_of_steps_keeps_it(unsettled: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="impasto"):
        assert impasto.stylize(PHOTO, SWIRL, **SMALL, iterations=4).iterations == 4
    assert "has not settled" not in caplog.text


@pytest.mark.weights
def test_draft_is_not_made_longer(unsettled: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="impasto"):
        result = impasto.stylize(PHOTO, SWIRL, **SMALL, effort="draft")
    assert result.iterations == Config(effort="draft").resolve(32, 32).iterations
    assert "Give it more with --iterations" in caplog.text


@pytest.mark.weights
def test_longer_run_resumes_to_the_same_picture(unsettled: None, tmp_path: Path) -> None:
    """Also from its last planned step, and from the last but one of those that it got."""
    whole = impasto.stylize(PHOTO, SWIRL, **SMALL)
    planned = Config().resolve(32, 32).iterations
    run = prepare_run(PHOTO, SWIRL, **SMALL)
    for progress in run.steps():
        if progress.scale == len(progress.inputs.scales) and progress.iteration >= planned:
            run.save_checkpoint(tmp_path / f"{progress.iteration - planned}")
            if progress.iteration == planned + 3:
                break
    assert len(list(tmp_path.iterdir())) == 4
    for checkpoint in tmp_path.iterdir():
        resumed = drive(prepare_run(PHOTO, SWIRL, **SMALL), checkpoint=read_checkpoint(checkpoint))
        assert resumed.iterations == whole.iterations, checkpoint.name
        assert torch.equal(resumed.image, whole.image), checkpoint.name


@pytest.mark.weights
def test_longer_run_is_reproduced(unsettled: None, tmp_path: Path) -> None:
    painted = tmp_path / "painted.png"
    whole = impasto.stylize("sample:cat", "sample:swirl", **SMALL)
    whole.save(painted)
    again = impasto.reproduce(painted)
    assert again.iterations == whole.iterations
    assert torch.equal(again.image, whole.image)


@pytest.mark.weights
def test_change_of_alpha_is_not_taken_for_a_fall(unsettled: None) -> None:
    planned = Config().resolve(32, 32).iterations
    run = prepare_run(PHOTO, SWIRL, **SMALL)
    for progress in run.steps():
        if (progress.scale, progress.iteration) == (len(progress.inputs.scales), planned - 1):
            run.set_alpha(0.5)
    assert run.result().iterations == planned
