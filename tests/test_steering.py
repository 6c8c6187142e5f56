"""Changing α during a run: effect, reproduction and checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import impasto
from impasto.cli import main
from impasto.errors import RecipeError
from impasto.run import Run, drive, prepare_run
from impasto.run.alpha_schedule import AlphaSchedule
from impasto.run.checkpoint import read_checkpoint
from impasto.run.recipe import AlphaChange
from impasto.run.recorded import stop_where_recorded

pytestmark = pytest.mark.weights

SMALL: dict[str, Any] = {"size": 48, "iterations": 10, "scales": 2, "precision": "float32", "alpha": 5.0}
SMALL |= {"content_layers": "relu2_1", "style_layers": "relu1_1,relu2_1"}  # deeper ones take five times as long


def small_run(photo: Path, painting: Path, **options: Any) -> Run:
    return prepare_run(photo, painting, **(SMALL | options))


def paint_with_changes(run: Run, places: dict[tuple[int, int], float]) -> Any:
    """Paint a run, changing α at these (scale, iteration) places."""
    for progress in run.steps():
        alpha = places.get((progress.scale, progress.iteration))
        if alpha is not None:
            run.set_alpha(alpha)
    return run.result()


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("places", [{(1, 4): 50.0}, {(2, 3): 0.5, (2, 7): 30.0}, {(1, 10): 9.0, (2, 1): 1.0}])
def test_changed_alpha_is_reproduced_exactly(
    photo: Path, painting: Path, tmp_path: Path, optimizer: str, places: dict[tuple[int, int], float]
) -> None:
    run = small_run(photo, painting, optimizer=optimizer)
    result = paint_with_changes(run, places)
    assert [(change.scale, change.iteration, change.alpha) for change in result.recipe.alpha_changes] == [
        (*place, alpha) for place, alpha in sorted(places.items())
    ]
    assert result.recipe.config.alpha == SMALL["alpha"]
    result.save(tmp_path / "changed.png")
    for file in (photo, painting):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert main(["reproduce", str(tmp_path / "changed.png"), "-o", str(tmp_path / "again.png"), "--quiet"]) == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "changed.png").read_bytes()


@pytest.mark.slow
def test_picture_follows_alpha(photo: Path, painting: Path) -> None:
    unchanged = drive(small_run(photo, painting, iterations=15))
    abstract = paint_with_changes(small_run(photo, painting, iterations=15), {(2, 5): 100.0})
    real = paint_with_changes(small_run(photo, painting, iterations=15), {(2, 5): 0.1})
    assert abstract.losses["style"] < unchanged.losses["style"] < real.losses["style"]
    assert abstract.losses["content"] > unchanged.losses["content"] > real.losses["content"]
    # The reported total uses the current α.
    assert abstract.losses["total"] == pytest.approx(abstract.losses["content"] + 100 * abstract.losses["style"], 1e-5)


def test_tiny_alpha_change_only_resets_curvature(photo: Path, painting: Path) -> None:
    unchanged = drive(small_run(photo, painting))
    again = paint_with_changes(small_run(photo, painting), {(2, 5): SMALL["alpha"] + 1e-6})
    assert not torch.equal(unchanged.image, again.image)
    assert again.losses["total"] == pytest.approx(unchanged.losses["total"], rel=0.1)


def test_setting_the_same_alpha_changes_nothing(photo: Path, painting: Path) -> None:
    unchanged = drive(small_run(photo, painting))
    again = paint_with_changes(small_run(photo, painting), {(2, 5): SMALL["alpha"]})
    assert torch.equal(unchanged.image, again.image)


@pytest.mark.parametrize("cut", [(1, 2), (1, 4), (2, 3), (2, 6)])
def test_resumes_exactly_around_an_alpha_change(
    photo: Path, painting: Path, tmp_path: Path, cut: tuple[int, int]
) -> None:
    places = {(1, 4): 30.0, (2, 3): 1.0}
    whole = paint_with_changes(small_run(photo, painting), places)
    changes = whole.recipe.alpha_changes
    first = replace(small_run(photo, painting), schedule=AlphaSchedule(changes))
    for progress in first.steps():
        if (progress.scale, progress.iteration) == cut:
            first.save_checkpoint(tmp_path / "c.impasto")
            break
    second = replace(small_run(photo, painting), schedule=AlphaSchedule(changes))
    drive(second, checkpoint=read_checkpoint(tmp_path / "c.impasto"))
    assert torch.equal(second.result().image, whole.image)
    assert second.result().recipe.alpha_changes == changes


def test_refuses_a_checkpoint_with_other_alpha_changes(photo: Path, painting: Path, tmp_path: Path) -> None:
    first = replace(small_run(photo, painting), schedule=AlphaSchedule([AlphaChange(scale=1, iteration=2, alpha=9)]))
    for progress in first.steps():
        if progress.iteration == 3:
            first.save_checkpoint(tmp_path / "c.impasto")
            break
    with pytest.raises(RecipeError, match="alpha"):
        small_run(photo, painting).steps(read_checkpoint(tmp_path / "c.impasto"))


def test_stopped_run_with_alpha_change_is_reproduced(photo: Path, painting: Path, tmp_path: Path) -> None:
    run = small_run(photo, painting)
    for progress in run.steps():
        if (progress.scale, progress.iteration) == (1, 3):
            run.set_alpha(40.0)
        if (progress.scale, progress.iteration) == (1, 8):
            break
    run.result().save(tmp_path / "stopped.png")
    recipe = impasto.read_recipe(tmp_path / "stopped.png")
    replayed = replace(
        small_run(photo, painting), schedule=AlphaSchedule(recipe.alpha_changes), recorded_plan=recipe.plan
    )
    again = drive(replayed, stop=stop_where_recorded(recipe))
    again.save(tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "stopped.png").read_bytes()
