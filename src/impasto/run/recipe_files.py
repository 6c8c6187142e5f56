"""The recipe that a picture carries, and the pictures that it asks for."""

from __future__ import annotations

import json
from pathlib import Path

from impasto.config.roles import kind_of
from impasto.errors import ConfigError, LayerError, RecipeError
from impasto.images import read_note, sha256_of
from impasto.run.recipe import InputRecord, Recipe

__all__ = ["find_input", "read_recipe"]


def read_recipe(path: Path) -> Recipe:
    """The recipe inside a picture. Raises `ImageError` if it is none, `RecipeError` if it has no recipe."""
    note = read_note(path)
    if note is None:
        raise RecipeError(f"{path} holds no recipe. Give a picture that Impasto wrote and no other program changed.")
    try:
        return Recipe.model_validate(json.loads(note))
    except (ConfigError, LayerError, ValueError, RecursionError) as error:
        raise RecipeError(f"The recipe in {path} cannot be used: {error}") from error


def find_input(role: str, record: InputRecord, folders: tuple[Path, ...]) -> Path:
    """The file of that name and hash in one of `folders`. Raises `RecipeError`: missing, or changed."""
    flag = "--" + kind_of(role).replace("_", "-")
    if record.name is None:
        raise RecipeError(f"The {role} image was not a file. Give it with {flag} FILE.")
    changed = None
    for folder in folders:
        path = folder / Path(record.name).name
        if path.is_file():
            if sha256_of(path) == record.sha256:
                return path
            changed = path
    if changed is not None:
        raise RecipeError(f"The {role} image {changed} has changed since. Give the old one with {flag} FILE.")
    raise RecipeError(f"The {role} image {record.name} is missing. Put it beside the picture, or give {flag} FILE.")
