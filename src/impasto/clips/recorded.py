"""Repeating the run recorded in a clip."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from impasto.clips.api import prepare_clip
from impasto.clips.clip_run import NOTE, ClipRun
from impasto.clips.metadata import read_clip_metadata
from impasto.config import Config, Plan, RunOptions
from impasto.config.video import VideoOptions
from impasto.errors import ImpastoError, RecipeError
from impasto.run.recipe import InputRecord
from impasto.run.recorded import paths_of, require_plan
from impasto.samples.sources import SAMPLE

__all__ = ["prepare_recorded_clip", "read_clip_recipe"]


def read_clip_recipe(path: Path) -> Mapping[str, Any]:
    """Return everything that made a clip. Raises `RecipeError` without it, `VideoError` if it is not a clip."""
    note = read_clip_metadata(path).get(NOTE)
    try:
        recipe = json.loads(note or "")
    except ValueError as error:
        raise RecipeError(
            f"{path} has no recipe. Give a clip that Impasto wrote and no other program changed."
        ) from error
    if not isinstance(recipe, dict):
        raise RecipeError(f"The recipe in {path} is damaged. Give a clip that no other program changed.")
    return recipe


def prepare_recorded_clip(
    recipe: Mapping[str, Any],
    output: Path,
    folder: Path,
    *,
    clip: Path | None = None,
    styles: Sequence[Path] = (),
    resume: bool = False,
    **files: Any,
) -> ClipRun:
    """Build the run of a recorded clip, with its plan. Its inputs are looked for in `folder` and here.

    `clip`, `styles` and `files` (`content_masks`, `style_masks`, `protect`, `weights`) are given in their place. Raises
    `RecipeError` if an input is missing or changed.
    """
    try:
        plan, video, config = Plan(**recipe["plan"]), VideoOptions(**recipe["video"]), Config(**recipe["config"])
        options, records = RunOptions(**recipe["run"]), [InputRecord(**style) for style in recipe["styles"]]
        clip_record = InputRecord(**recipe["clip"])
    except (KeyError, TypeError, ImpastoError) as error:
        raise RecipeError(f"The recipe cannot be used: {error}. It may be of another version of Impasto.") from error
    require_plan(plan)
    if styles and len(styles) != len(records):
        raise RecipeError(
            f"--style was given {len(styles)} times, and the recipe has {len(records)}. Give all of them."
        )
    given = list(styles) or [_find(record, folder, "--style") for record in records]
    prepared = prepare_clip(
        clip or _find(clip_record, folder, "--content"),
        given,
        output,
        config,
        resume=resume,
        recorded_plan=plan,
        **options.model_dump(),
        **video.model_dump(),
        **files,
    )
    again = prepared.description
    for name in ("clip", "styles", "masks", "style_masks", "weights"):
        if _hashes(again[name]) != _hashes(recipe[name]):
            prepared.discard()
            raise RecipeError(f"The {name} are not those of this recipe: their SHA-256 differs. Give the originals.")
    return prepared


def _find(record: InputRecord, folder: Path, flag: str) -> Any:
    if record.name is None:
        raise RecipeError(f"An input of the recipe was not a file. Give it with {flag} FILE.")
    if record.name.startswith(SAMPLE):
        return record.name
    for path in paths_of(record.name, folder):
        if path.exists():
            return path
    raise RecipeError(f"{record.name} is missing. Put it beside the clip, or use {flag} FILE.")


def _hashes(part: Any) -> Any:
    if isinstance(part, dict):
        return part.get("sha256")
    return [_hashes(each) for each in part] if isinstance(part, list) else part
