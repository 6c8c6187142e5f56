"""Recipes: everything that made a picture, written into it and read back from it.

Files are recorded by base name and hash, never by path: a shared picture reveals nothing about the machine that
painted it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field

from impasto import __version__
from impasto.config import Config, Options, Plan, ResolvedConfig, RunOptions
from impasto.errors import ConfigError, LayerError, RecipeError
from impasto.images import read_note

__all__ = ["AlphaChange", "InputRecord", "Recipe", "StopPoint", "Trace", "read_recipe"]


class InputRecord(Options):
    """An input picture: its base name, if it had one, and its SHA-256."""

    name: str | None
    sha256: str


class StopPoint(Options):
    """The step after which a run was stopped early; scale and iteration count from 1."""

    scale: int = Field(ge=1)
    iteration: int = Field(ge=1)

    def is_at(self, scale: int, iteration: int) -> bool:
        """Return True if this is the step."""
        return (self.scale, self.iteration) == (scale, iteration)


class AlphaChange(Options):
    """A change of α during the run, after this step; scale and iteration count from 1."""

    scale: int = Field(ge=1)
    iteration: int = Field(ge=1)
    alpha: float = Field(ge=0)


class Trace(Options):
    """The recorded steps of a run as columns: losses and the gradient's size, by name, in `numbers`.

    A loss that overflows is infinite: that must not cost the picture.
    """

    model_config = ConfigDict(allow_inf_nan=True, ser_json_inf_nan="strings")

    scale: tuple[int, ...]
    iteration: tuple[int, ...]
    numbers: dict[str, tuple[float, ...]]


class Recipe(Options):
    """Everything that made a picture."""

    version: str = Field(description="Impasto's version.")
    config: Config = Field(description="The options as given.")
    resolved: ResolvedConfig = Field(description="The options with every value filled in.")
    run: RunOptions
    plan: Plan
    inputs: dict[str, InputRecord] = Field(
        description="Pictures by role: content, style, style_2 …, init, content_mask …, style_mask …, protect."
    )
    weights_name: str | None = Field(description="Base name of the weights file, if one was given.")
    weights_sha256: str
    profile_sha256: str | None = Field(None, description="SHA-256 of the profile's file; its base name is in run.")
    alpha_changes: tuple[AlphaChange, ...] = Field((), description="Changes of α, in order; it began as in config.")
    stopped: StopPoint | None = None
    trace: Trace | None = None

    def to_json(self) -> str:
        """Return the recipe as one line of ASCII JSON."""
        return self.model_dump_json(ensure_ascii=True)


def read_recipe(path: str | Path) -> Recipe:
    """Read the recipe inside a picture. Raises `ImageError` if it is not a picture, `RecipeError` without a recipe."""
    note = read_note(Path(path))
    if note is None:
        raise RecipeError(f"{path} has no recipe. Give a picture that Impasto wrote and no other program changed.")
    values: Any = None
    try:
        values = json.loads(note)
        return Recipe.model_validate(values)
    except (ConfigError, LayerError, ValueError, RecursionError) as error:
        version = values.get("version") if isinstance(values, dict) else None
        if isinstance(version, str) and _release(version) > _release(__version__):
            raise RecipeError(
                f"{path} was painted by Impasto {version}, and this is {__version__}. Update Impasto to use its recipe."
            ) from error
        raise RecipeError(f"The recipe in {path} cannot be used: {error}") from error


def _release(version: str) -> list[int]:
    """Return the numbers of a version, to compare."""
    return [int(number) for number in re.findall(r"\d+", version)[:3]]
