"""Repeating a recorded run: from the recipe inside a picture, or from a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from impasto.config import Plan, RunOptions
from impasto.config.roles import KINDS, assign_roles, build_inputs, kind_of, role_names
from impasto.config.run_options import BUILT_IN_PROFILES, MAX_MEGAPIXELS, SRGB
from impasto.engine.planning import require_device
from impasto.errors import RecipeError
from impasto.images import OpenedImage, OutputProfile, load_profile, open_image
from impasto.run.alpha_schedule import AlphaSchedule
from impasto.run.checkpoint import Checkpoint, read_checkpoint
from impasto.run.loop import StopCondition, drive
from impasto.run.model_cache import ModelCache
from impasto.run.recipe import InputRecord, Recipe, read_recipe
from impasto.run.result import Result
from impasto.run.run import Run
from impasto.samples.sources import SAMPLE, resolve_picture

__all__ = [
    "Pictures",
    "find_recorded_picture",
    "flag_of",
    "paths_of",
    "prepare_recorded_run",
    "reproduce",
    "require_all",
    "require_plan",
    "resume",
    "stop_where_recorded",
]

logger = logging.getLogger("impasto")

Pictures = Mapping[str, Sequence[Any]]
"""Pictures by kind (`content`, `style`, `content_mask` …), in place of those that a recipe names."""


def reproduce(
    picture: str | Path,
    *,
    pictures: Pictures | None = None,
    weights: str | Path | None = None,
    profile: str | Path | None = None,
) -> Result:
    """Repeat the run recorded in `picture`: the same pixels on the same machine with the same versions.

    Inputs are looked for beside the picture and in the working directory, and must be unchanged; `pictures` gives
    those that are elsewhere, by kind: `{"content": ["photo.jpg"]}`. `weights` and `profile` are such files too. Raises
    `RecipeError`, `ImageError`, `ConfigError`, `WeightsError`.
    """
    path = Path(picture)
    recipe = read_recipe(path)
    run = prepare_recorded_run(recipe, folder=path.parent, pictures=pictures, weights=weights, profile=profile)
    return drive(run, stop=stop_where_recorded(recipe))


def resume(
    checkpoint: str | Path,
    *,
    pictures: Pictures | None = None,
    weights: str | Path | None = None,
    profile: str | Path | None = None,
) -> Result:
    """Continue the run saved in a checkpoint to its end: the same pixels as if it had never stopped.

    Inputs are found as by `reproduce`. Raises what it raises.
    """
    saved: Checkpoint = read_checkpoint(Path(checkpoint))
    run = prepare_recorded_run(
        saved.recipe, folder=saved.path.parent, pictures=pictures, weights=weights, profile=profile
    )
    return drive(run, checkpoint=saved)


def stop_where_recorded(recipe: Recipe) -> StopCondition | None:
    """Return a condition that ends a run where the recorded one was stopped, or None if it was not."""
    stopped = recipe.stopped
    return None if stopped is None else lambda progress: stopped.is_at(progress.scale, progress.iteration)


def prepare_recorded_run(
    recipe: Recipe,
    *,
    folder: Path,
    pictures: Pictures | None = None,
    weights: str | Path | None = None,
    profile: str | Path | None = None,
    cache: ModelCache | None = None,
) -> Run:
    """Build the run of a recipe, with its plan and its changes of α.

    Raises `RecipeError` if an input or the weights are missing or changed, `ConfigError` without the device.
    """
    given = pictures or {}
    known = {role for kind in KINDS for role in role_names(kind, _count(recipe, kind))}
    if unknown := ", ".join(recipe.inputs.keys() - known):
        raise RecipeError(f"The recipe names unknown pictures: {unknown}. Was it edited by hand?")
    found: dict[str, Any] = {}
    for kind in KINDS:
        found |= assign_roles(kind, _find_pictures(recipe, kind, given.get(kind, ()), folder))
    inputs = build_inputs(found, _find_weights(recipe, weights, folder))
    require_plan(recipe.plan)
    options = RunOptions(**(recipe.run.model_dump() | {"save_every": None}))
    run = Run(
        inputs,
        recipe.config,
        options,
        recorded_plan=recipe.plan,
        recorded_config=recipe.resolved,
        schedule=AlphaSchedule(recipe.alpha_changes),
        recorded_profile=_find_profile(recipe, profile, folder),
        cache=cache or ModelCache(),
    )
    if run.encoder.weights_sha256 != recipe.weights_sha256:
        raise RecipeError("These weights are not those that painted it. Give the old ones with --weights FILE.")
    return run


def require_plan(plan: Plan) -> None:
    """Raise `ConfigError` without the device of a recorded plan; warn of another version of torch."""
    require_device(plan.device)
    if plan.torch != torch.__version__:
        logger.warning("painted with torch %s, this is %s: pixels may differ", plan.torch, torch.__version__)


def paths_of(name: str, folder: Path) -> tuple[Path, Path]:
    """Return the paths at which a recorded file is looked for: in `folder` and in the working directory.

    A recipe is not trusted: its name must not lead elsewhere.
    """
    base = Path(name).name
    return folder / base, Path(base)


def find_recorded_picture(recipe: Recipe, role: str, given: Any, folder: Path) -> OpenedImage:
    """Open the picture of a role: `given`, a sample, or a file found in `folder` or the working directory.

    Raises `RecipeError` if it is missing, or not the one that was recorded.
    """
    record = recipe.inputs[role]
    if given is None and record.name is not None and record.name.startswith(SAMPLE):
        sample = open_image(resolve_picture(record.name, recipe.config.painted_px))
        if sample.sha256 != record.sha256:
            raise RecipeError(f"{record.name} has changed since Impasto {recipe.version}. Install that version.")
        return sample
    if given is None:
        return _find_file(role, record, (folder, Path()), recipe.run.max_megapixels)
    picture = open_image(given, max_megapixels=recipe.run.max_megapixels)
    if picture.sha256 != record.sha256:
        raise RecipeError(f"{picture.label} is not the {role} image of this recipe: its SHA-256 differs.")
    return picture


def _find_pictures(recipe: Recipe, kind: str, given: Sequence[Any], folder: Path) -> list[OpenedImage]:
    """Return all pictures of one kind, in order."""
    count = _count(recipe, kind)
    require_all(kind, given, count)
    pictures = list(given) or [None] * count
    return [
        find_recorded_picture(recipe, role, picture, folder)
        for role, picture in zip(role_names(kind, count), pictures, strict=True)
    ]


def _find_file(
    role: str, record: InputRecord, folders: Sequence[Path], max_megapixels: float = MAX_MEGAPIXELS
) -> OpenedImage:
    """Open the file with the recorded name and hash. Raises `RecipeError`: missing, or changed."""
    flag = flag_of(kind_of(role))
    if record.name is None:
        raise RecipeError(f"The {role} image was not a file. Give it with {flag} FILE.")
    changed = None
    for folder in folders:
        path = folder / Path(record.name).name
        if path.is_file():
            picture = open_image(path, max_megapixels=max_megapixels)
            if picture.sha256 == record.sha256:
                return picture
            changed = path
    if changed is not None:
        raise RecipeError(f"The {role} image {changed} has changed. Give the original with {flag} FILE.")
    raise RecipeError(f"The {role} image {record.name} is missing. Put it beside the picture, or use {flag} FILE.")


def _find_weights(recipe: Recipe, given: str | Path | None, folder: Path) -> Path | None:
    if given is not None or recipe.weights_name is None:
        return None if given is None else Path(given)
    for path in paths_of(recipe.weights_name, folder):
        if path.is_file():
            return path
    raise RecipeError(f"The weights {recipe.weights_name} are missing. Give them with --weights FILE.")


def _find_profile(recipe: Recipe, given: str | Path | None, folder: Path) -> OutputProfile:
    """Return the profile of a recipe: `given`, or a file of its name. Raises `RecipeError`: missing, or changed."""
    name, sha256 = recipe.run.profile, recipe.profile_sha256
    if sha256 is None and given is None:
        return load_profile(name if name in BUILT_IN_PROFILES else SRGB)
    found = given
    if given is None:
        found = next((path for path in paths_of(name, folder) if path.is_file()), None)
    if found is None:
        raise RecipeError(f"The color profile {name} is missing. Put it beside the picture, or use --profile FILE.")
    profile = load_profile(found)
    if profile.sha256 != sha256:
        raise RecipeError(f"{found} is not the color profile of this recipe, {name}: its SHA-256 differs.")
    return profile


def require_all(kind: str, given: Sequence[Any], count: int) -> None:
    """Raise `RecipeError` if some pictures of a kind are given, but not all `count` of the recipe."""
    if given and len(given) != count:
        flag = flag_of(kind)
        raise RecipeError(f"{flag} was given {len(given)} times, and the recipe has {count}. Give all of them.")


def _count(recipe: Recipe, kind: str) -> int:
    return sum(kind_of(role) == kind for role in recipe.inputs)


def flag_of(kind: str) -> str:
    """Return the flag of the command line that gives pictures of a kind."""
    return "--" + kind.replace("_", "-")
