"""Recipes: stored in pictures and read back to find the inputs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from impasto import images
from impasto.config import Config, Plan, RunOptions
from impasto.errors import ImageError, RecipeError
from impasto.run import read_recipe
from impasto.run.recipe import InputRecord, Recipe, StopPoint, Trace
from impasto.run.recorded import _find_file

CONFIG = Config(alpha=3, style_layers="relu1_1:0.5,relu3_1", seed=11)

RECIPE = Recipe(
    version="0.0.test",
    config=CONFIG,
    resolved=CONFIG.resolve(8, 9),
    run=RunOptions(bits=16),
    plan=Plan(device="cpu", threads=2, torch="2.9"),
    inputs={
        "content": InputRecord(name="ä <photo> & co.jpg", sha256="00"),
        "style": InputRecord(name=None, sha256="11"),
    },
    weights_name=None,
    weights_sha256="22",
    stopped=StopPoint(scale=1, iteration=4),
)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_recipe_round_trips_in_every_format(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture{suffix}"
    images.save(path, torch.rand(1, 3, 8, 9), note=RECIPE.to_json())
    assert read_recipe(path) == RECIPE


def test_png_recipe_is_readable_by_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    images.save(path, torch.rand(1, 3, 8, 9), note=RECIPE.to_json())
    with Image.open(path) as image:
        assert isinstance(image, Image.Image)
        text = getattr(image, "text")["impasto"]  # noqa: B009
    assert json.loads(text)["config"]["alpha"] == 3


def test_missing_recipe_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "other.png"
    Image.new("RGB", (4, 4)).save(path)
    with pytest.raises(RecipeError, match="has no recipe"):
        read_recipe(path)
    with pytest.raises(ImageError, match="no such file"):
        read_recipe(tmp_path / "none.png")


@pytest.mark.parametrize("note", ["not json", '{"version": "1"}', "[]"])
def test_damaged_recipe_is_a_one_line_error(note: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    images.save(path, torch.rand(1, 3, 8, 9), note=note)
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    assert "\n" not in str(caught.value)


def test_recipe_of_a_newer_version_says_so(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    values = json.loads(RECIPE.to_json())
    values["config"]["sparkle"] = 1
    for version, message in (("99.1.0", r"painted by Impasto 99\.1\.0.* Update Impasto"), ("0.0.1", "sparkle")):
        images.save(path, torch.rand(1, 3, 8, 9), note=json.dumps(values | {"version": version}))
        with pytest.raises(RecipeError, match=message) as caught:
            read_recipe(path)
        assert "\n" not in str(caught.value)


def test_infinite_losses_are_recorded(tmp_path: Path) -> None:
    numbers = {"total": (1.5, float("inf")), "gradient": (2.0, 3.0)}
    recipe = RECIPE.model_copy(update={"trace": Trace(scale=(1, 1), iteration=(1, 2), numbers=numbers)})
    path = tmp_path / "picture.png"
    images.save(path, torch.rand(1, 3, 8, 9), note=recipe.to_json())
    assert read_recipe(path) == recipe


def test_inputs_are_found_by_name_and_hash(tmp_path: Path, photo: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    record = InputRecord(name=photo.name, sha256=images.load(photo).sha256)
    with pytest.raises(RecipeError, match=r"content image .* is missing"):
        _find_file("content", record, (first, second))
    shutil.copy(photo, second)
    assert _find_file("content", record, (first, second)).path == second / photo.name
    Image.new("RGB", (4, 4)).save(first / photo.name)  # another picture of that name is skipped
    assert _find_file("content", record, (first, second)).path == second / photo.name
    (second / photo.name).unlink()
    with pytest.raises(RecipeError, match="has changed"):
        _find_file("content", record, (first, second))


def test_recipe_names_cannot_escape_the_folder(tmp_path: Path, photo: Path) -> None:
    (tmp_path / "inside").mkdir()
    shutil.copy(photo, tmp_path)
    record = InputRecord(name=f"../{photo.name}", sha256=images.load(photo).sha256)
    with pytest.raises(RecipeError, match="missing"):
        _find_file("content", record, (tmp_path / "inside",))


def test_unnamed_inputs_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="--style FILE"):
        _find_file("style", RECIPE.inputs["style"], (tmp_path,))
