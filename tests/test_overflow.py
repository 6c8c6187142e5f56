"""Losses that overflow: refused before the first step where that can be known, and never at the cost of the picture."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

import impasto
from impasto.cli import main
from impasto.core import descent
from impasto.errors import DivergenceError
from impasto.run import drive, prepare_run, read_recipe

QUICK = ["--size", "64", "--iterations", "4", "--quiet"]


@pytest.mark.weights
@pytest.mark.parametrize(
    "options", [["--units", "absolute", "--alpha", "1e12"], ["--tv-weight", "1e25"], ["--alpha", "1e30", "--report"]]
)
def test_extreme_weights_do_not_cost_the_picture(
    desk: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    monkeypatch.chdir(desk)
    assert main(["stylize", "photo.jpg", "painting.png", "-o", "out.png", *QUICK, *options]) == 0
    assert read_recipe("out.png").trace is not None
    assert torch.isfinite(impasto.images.load("out.png").pixels).all()


@pytest.mark.weights
def test_overflow_before_the_first_step_is_refused(photo: Path, painting: Path) -> None:
    with pytest.raises(DivergenceError, match="Lower `alpha` and the weights"):
        impasto.stylize(photo, painting, size=64, iterations=2, alpha=1e300)


@pytest.mark.weights
def test_overflow_at_a_later_scale_keeps_the_picture_so_far(
    photo: Path, painting: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    started = []
    start = descent.Descent.start

    def overflow_at_the_second(self: descent.Descent, image: torch.Tensor) -> descent.Point:
        started.append(1)
        if len(started) == 2:
            raise DivergenceError("The loss of the starting image is not finite.")
        return start(self, image)

    monkeypatch.setattr(descent.Descent, "start", overflow_at_the_second)
    run = prepare_run(photo, painting, size=64, iterations=3, scales=2)
    with caplog.at_level(logging.WARNING, logger="impasto"):
        result = drive(run)
    assert result.image.shape == (1, 3, 43, 64)
    assert result.recipe.stopped is not None
    assert (result.recipe.stopped.scale, result.recipe.stopped.iteration) == (1, 3)
    assert "with the picture of the step before" in caplog.text
