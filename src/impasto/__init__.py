"""Impasto: neural style transfer by optimization. The target image is the only thing that learns.

    import impasto
    result = impasto.stylize("photo.jpg", "painting.jpg", alpha=5, size=512)
    result.save("painted.png")

Importing this package loads neither torch nor libvips; the first use of a name below does.
"""

from __future__ import annotations

import gc
import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "BatchReport",
    "Config",
    "ImpastoError",
    "Inputs",
    "NamedImage",
    "Progress",
    "Recipe",
    "Result",
    "RunOptions",
    "Score",
    "batch",
    "estimate",
    "load_preset",
    "prepare_process",
    "read_recipe",
    "register_network",
    "register_style_loss",
    "reproduce",
    "resume",
    "score",
    "stylize",
    "stylize_steps",
    "video",
    "video_steps",
    "widget",
]

_HOMES = {
    "run": ("Recipe", "Result", "estimate", "read_recipe", "reproduce", "resume", "stylize", "stylize_steps"),
    "config": ("Config", "Inputs", "RunOptions"),
    "errors": ("ImpastoError",),
    "process": ("prepare_process",),
    "images": ("NamedImage",),
    "core.method": ("Progress",),
    "jobs.batch": ("BatchReport", "batch"),
    "clips.api": ("video", "video_steps"),
    "metrics.score": ("Score", "score"),
    "notebook": ("widget",),
    "config.networks": ("register_network",),
    "config.presets": ("load_preset",),
    "config.style_losses": ("register_style_loss",),
}

if TYPE_CHECKING:
    from impasto.clips.api import video, video_steps
    from impasto.config import Config, Inputs, RunOptions
    from impasto.config.networks import register_network
    from impasto.config.presets import load_preset
    from impasto.config.style_losses import register_style_loss
    from impasto.core.method import Progress
    from impasto.errors import ImpastoError
    from impasto.images import NamedImage
    from impasto.jobs.batch import BatchReport, batch
    from impasto.metrics.score import Score, score
    from impasto.notebook import widget
    from impasto.process import prepare_process
    from impasto.run import Recipe, Result, estimate, read_recipe, reproduce, resume, stylize, stylize_steps


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(_import_fast(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _import_fast(module: str) -> ModuleType:
    """Import a module with garbage collection off: it takes a fifth of the time that importing torch takes."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        if was_enabled:
            gc.enable()


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
