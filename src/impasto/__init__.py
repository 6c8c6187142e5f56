"""Impasto: neural style transfer by optimization. The target image is the only thing that learns.

    import impasto
    result = impasto.stylize("photo.jpg", "painting.jpg", alpha=5, size=512)
    result.save("painted.png")

Importing this package loads neither torch nor libvips; the first use of a name below does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Config",
    "ImpastoError",
    "Inputs",
    "NamedImage",
    "Progress",
    "Recipe",
    "Result",
    "RunOptions",
    "load_preset",
    "read_recipe",
    "stylize",
    "stylize_steps",
]

_HOMES = {
    "Config": "config",
    "ImpastoError": "errors",
    "Inputs": "config",
    "NamedImage": "images",
    "Progress": "method",
    "Recipe": "recipes",
    "Result": "compose",
    "RunOptions": "config",
    "load_preset": "presets",
    "read_recipe": "recipes",
    "stylize": "compose",
    "stylize_steps": "compose",
}

if TYPE_CHECKING:
    from impasto.compose import Result, stylize, stylize_steps
    from impasto.config import Config, Inputs, RunOptions
    from impasto.errors import ImpastoError
    from impasto.images import NamedImage
    from impasto.method import Progress
    from impasto.presets import load_preset
    from impasto.recipes import Recipe, read_recipe


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
