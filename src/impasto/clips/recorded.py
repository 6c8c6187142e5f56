"""Repeating the run recorded in a clip."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from impasto.clips.api import prepare_clip
from impasto.clips.clip_run import NOTE, ClipRun
from impasto.clips.metadata import read_clip_metadata
from impasto.config import Config, Plan, RunOptions
from impasto.config.roles import KINDS, build_inputs, kind_of
from impasto.config.video import VideoOptions
from impasto.errors import ConfigError, RecipeError
from impasto.run.recipe import InputRecord
from impasto.run.recorded import Pictures, flag_of, paths_of, require_all, require_plan
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
    pictures: Pictures | None = None,
    weights: Path | None = None,
) -> ClipRun:
    """Build the run of a recorded clip, with its plan. Its inputs are looked for in `folder` and here.

    `pictures` and `weights` are given in their place; the clip is its content. Raises `RecipeError` if an input is
    missing or changed.
    """
    try:
        plan, video, config = Plan(**recipe["plan"]), VideoOptions(**recipe["video"]), Config(**recipe["config"])
        options, weights_sha256 = RunOptions(**recipe["run"]), recipe["weights"]
        records = {role: InputRecord(**record) for role, record in recipe["inputs"].items()}
        sources = _find_inputs(records, folder, pictures or {})
        inputs = build_inputs(sources)
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        raise RecipeError(f"The recipe cannot be used: {error}. It may be of another version of Impasto.") from error
    require_plan(plan)
    given = options.model_dump() | video.model_dump() | {"weights": weights, "protect": inputs.protect}
    given |= {"content_masks": inputs.content_masks, "style_masks": inputs.style_masks}
    prepared = prepare_clip(inputs.content, inputs.styles, output, config, recorded_plan=plan, **given)
    try:
        _require_same(prepared.description, records, sources, weights_sha256)
    except RecipeError:
        prepared.discard()
        raise
    return prepared


def _find_inputs(records: Mapping[str, InputRecord], folder: Path, given: Pictures) -> dict[str, Any]:
    """Return a file, a folder or the name of a sample for each role of a recipe: see `prepare_recorded_clip`."""
    found: dict[str, Any] = {}
    for kind in KINDS:
        roles = [role for role in records if kind_of(role) == kind]
        require_all(kind, given.get(kind, ()), len(roles))
        sources = given.get(kind) or [_find(records[role], folder, role) for role in roles]
        found |= dict(zip(roles, sources, strict=True))
    return found


def _find(record: InputRecord, folder: Path, role: str) -> Any:
    advice = f"{flag_of(kind_of(role))} FILE"
    if record.name is None:
        raise RecipeError(f"The {_words(role)} of the recipe was not a file. Give it with {advice}.")
    if record.name.startswith(SAMPLE):
        return record.name
    for path in paths_of(record.name, folder):
        if path.exists():
            return path
    raise RecipeError(f"The {_words(role)} {record.name} is missing. Put it beside the clip, or use {advice}.")


def _require_same(
    description: Mapping[str, Any], records: Mapping[str, InputRecord], sources: Mapping[str, Any], weights_sha256: str
) -> None:
    """Raise `RecipeError` if an input is not that of the recipe."""
    for role, record in records.items():
        if description["inputs"][role]["sha256"] != record.sha256:
            raise RecipeError(
                f"{sources[role]} is not the {_words(role)} of this recipe: its SHA-256 differs. Give the original "
                f"with {flag_of(kind_of(role))} FILE."
            )
    if description["weights"] != weights_sha256:
        raise RecipeError("The weights are not those of this recipe: their SHA-256 differs. Use --weights FILE.")


def _words(role: str) -> str:
    """Return what a role is called in a message."""
    return "protected area" if role == "protect" else role.replace("_", " ")
