"""`impasto reproduce`: the run that is recorded in a picture, once more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from cyclopts import Parameter

from impasto import images
from impasto.cli.parameters import flag_name
from impasto.cli.progress import errors
from impasto.cli.run_command import paint, stem_of
from impasto.cli.stylize import Json, Output, Quiet
from impasto.config.roles import KINDS, assign_roles, build_inputs, kind_of, role_names
from impasto.engine.planning import require_device
from impasto.errors import RecipeError
from impasto.run.alpha_schedule import AlphaSchedule
from impasto.run.recipe import Recipe
from impasto.run.recipe_files import find_input, read_recipe
from impasto.run.run import Run
from impasto.samples.sources import SAMPLE, resolve_picture

__all__ = ["recorded_input", "recorded_session", "reproduce"]


def reproduce(
    picture: Annotated[Path, Parameter(help="A picture that Impasto wrote.")],
    /,
    *,
    output: Output = None,
    content: Annotated[Path | None, Parameter(help="The content image, if it is elsewhere.")] = None,
    style: Annotated[
        list[Path] | None, Parameter(help="The style image, if it is elsewhere; each of several.", negative="")
    ] = None,
    init: Annotated[Path | None, Parameter(help="The picture that it started from, if it is elsewhere.")] = None,
    content_mask: Annotated[
        list[Path] | None, Parameter(help="The mask of the content, if it is elsewhere; each of several.", negative="")
    ] = None,
    style_mask: Annotated[
        list[Path] | None, Parameter(help="The mask of the style, if it is elsewhere; each of several.", negative="")
    ] = None,
    protect: Annotated[Path | None, Parameter(help="The mask of what was protected, if it is elsewhere.")] = None,
    weights: Annotated[Path | None, Parameter(help="The file of weights, if one was used.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Repeat the run recorded in PICTURE: the same pixels on the same machine.

    Inputs are looked for beside the picture and in the working directory, and must be unchanged.
    """
    recipe = read_recipe(picture)
    elsewhere: dict[str, list[Path]] = {
        "content": [content] if content else [],
        "style": style or [],
        "init": [init] if init else [],
        "content_mask": content_mask or [],
        "style_mask": style_mask or [],
        "protect": [protect] if protect else [],
    }
    session = recorded_session(recipe, elsewhere, weights, picture.parent)
    if recipe.plan.torch != torch.__version__ and not quiet:
        errors.print(f"impasto: painted with torch {recipe.plan.torch}, this is {torch.__version__}: pixels may differ")
    return paint(
        session,
        output,
        stem=f"{stem_of(picture.name)}_again",
        suffix=picture.suffix,
        json_output=json,
        quiet=quiet,
        stop=recipe.stopped,
    )


def recorded_session(recipe: Recipe, elsewhere: Mapping[str, list[Path]], weights: Path | None, beside: Path) -> Run:
    """The run of a recipe, ready to go again; what is not given `elsewhere`, by kind, is looked for.

    Raises `RecipeError` if an input or the weights are missing or another, `ConfigError`: no such device.
    """
    known = {role for kind in KINDS for role in role_names(kind, _count(recipe, kind))}
    if strange := ", ".join(recipe.inputs.keys() - known):
        raise RecipeError(f"The recipe asks for pictures that are not known: {strange}. Was it changed by hand?")
    found: dict[str, Any] = {}
    for kind in KINDS:
        found |= assign_roles(kind, _inputs(recipe, kind, elsewhere.get(kind, []), beside))
    inputs = build_inputs(found, _weights(recipe, weights, beside))
    require_device(recipe.plan.device)
    run = recipe.run.model_copy(update={"save_every": 0})
    session = Run(inputs, recipe.config, run, recorded_plan=recipe.plan, helm=AlphaSchedule(recipe.turns))
    if session.encoder.weights_sha256 != recipe.weights_sha256:
        raise RecipeError("The weights are not those that painted it. Give the old ones with --weights FILE.")
    return session


def _inputs(recipe: Recipe, name: str, given: list[Path], beside: Path) -> tuple[Any, ...]:
    """The pictures of one kind: `style`, `style_2`, … in their order."""
    count = _count(recipe, name)
    if given and len(given) != count:
        flag = flag_name(name)
        raise RecipeError(f"{flag} was given {len(given)} times, and it was painted from {count}. Give all.")
    places: list[Path | None] = [*given] or [None] * count
    return tuple(
        recorded_input(recipe, role, place, beside) for role, place in zip(role_names(name, count), places, strict=True)
    )


def _count(recipe: Recipe, name: str) -> int:
    return sum(kind_of(role) == name for role in recipe.inputs)


def recorded_input(recipe: Recipe, role: str, given: Path | None, beside: Path) -> Any:
    """The picture of a role, given or looked for. Raises `RecipeError` if it is missing, or another."""
    record = recipe.inputs[role]
    if given is None and record.name is not None and record.name.startswith(SAMPLE):
        shipped = resolve_picture(record.name, recipe.config.size)
        if images.sha256_of(shipped) != record.sha256:
            raise RecipeError(f"{record.name} of this version of Impasto is not what it was. Install {recipe.version}.")
        return shipped
    if given is None:
        return find_input(role, record, (beside, Path()))
    if images.sha256_of(given) != record.sha256:
        raise RecipeError(f"{given} is not the {role} image that it was painted from: another SHA-256.")
    return given


def _weights(recipe: Recipe, given: Path | None, beside: Path) -> Path | None:
    if given is not None or recipe.weights_name is None:
        return given
    name = Path(recipe.weights_name).name  # what a picture says must not lead elsewhere
    for folder in (beside, Path()):
        if (folder / name).is_file():
            return folder / name
    raise RecipeError(f"The weights {recipe.weights_name} are missing. Give them with --weights FILE.")
