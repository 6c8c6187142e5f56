"""What made an image: written into it, read back from it, enough to make it again.

Files are kept as base names with hashes, never as paths: a picture that is shared tells nothing of the
machine that it was painted on.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field

from impasto import images
from impasto.config import Config, Options, Plan, RunOptions
from impasto.errors import ConfigError, LayerError, RecipeError

__all__ = ["InputRecord", "Recipe", "Stop", "find_input", "read_recipe"]


class InputRecord(Options):
    """A picture that went in: its base name, if it had one, and its SHA-256."""

    name: str | None
    sha256: str


class Stop(Options):
    """Where a run was stopped before its end: after this step of this scale, both counted from 1."""

    scale: int = Field(ge=1)
    iteration: int = Field(ge=1)


class Recipe(Options):
    """Everything that made an image."""

    version: str = Field(description="Impasto's version.")
    config: Config
    run: RunOptions
    plan: Plan
    inputs: dict[str, InputRecord] = Field(description="By role: content, style, init.")
    weights_name: str | None = Field(description="Base name of the weights file, where one was given.")
    weights_sha256: str
    stopped: Stop | None = None

    def to_json(self) -> str:
        """One line of ASCII JSON."""
        return self.model_dump_json(ensure_ascii=True)


def read_recipe(path: Path) -> Recipe:
    """The recipe inside a picture. Raises `ImageError` if it is none, `RecipeError` if it has no recipe."""
    note = images.read_note(path)
    if note is None:
        raise RecipeError(f"{path} holds no recipe. Give a picture that Impasto wrote and no other program changed.")
    try:
        return Recipe.model_validate(json.loads(note))
    except (ConfigError, LayerError, ValueError, RecursionError) as error:
        raise RecipeError(f"The recipe in {path} cannot be used: {error}") from error


def find_input(role: str, record: InputRecord, folders: tuple[Path, ...]) -> Path:
    """The file of that name and hash in one of `folders`. Raises `RecipeError`: missing, or changed."""
    if record.name is None:
        raise RecipeError(f"The {role} image was not a file. Give it with --{role} FILE.")
    changed = None
    for folder in folders:
        path = folder / Path(record.name).name
        if path.is_file():
            if images.sha256_of(path) == record.sha256:
                return path
            changed = path
    if changed is not None:
        raise RecipeError(f"The {role} image {changed} has changed since. Give the old one with --{role} FILE.")
    raise RecipeError(f"The {role} image {record.name} is missing. Put it beside the picture, or give --{role} FILE.")
