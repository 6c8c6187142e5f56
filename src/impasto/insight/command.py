"""The command line of a recipe."""

from __future__ import annotations

import shlex

from impasto.config.roles import kind_of
from impasto.run.recipe import Recipe

__all__ = ["stylize_command"]


def stylize_command(recipe: Recipe) -> str:
    """Return the command that paints this picture again, with every option that is not a default."""
    names = {role: record.name or f"{role.upper()}" for role, record in recipe.inputs.items()}
    words = ["impasto", "stylize", names.pop("content")]
    words += [name for role, name in names.items() if kind_of(role) == "style"]
    for role, name in names.items():
        if (kind := kind_of(role)) != "style":
            words += [f"--{kind.replace('_', '-')}", name]
    if recipe.weights_name is not None:
        words += ["--weights", recipe.weights_name]
    for name, value in recipe.config.overrides().items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif (name, value) != ("init", "image"):  # the file is already among the words
            words += [f"--{flag}", str(value)]
    return shlex.join(words)
