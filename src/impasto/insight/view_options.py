"""The options that matter to each view of insight, for Python and for the command line."""

from __future__ import annotations

from collections.abc import Iterable

from impasto.config import Config, RunOptions
from impasto.errors import ConfigError

__all__ = ["UNUSED_OPTIONS", "require_used_options"]

OPTIONS = frozenset((*Config.model_fields, *RunOptions.model_fields))
LOOKING = {"size", "enlarge", "network", "pooling", "padding", "device", "threads", "memory", "max_megapixels"}
"""What matters where nothing is painted; what is measured there is float32 in any case."""


PRINT = {"print", "dpi", "fit", "bleed"}
"""A view is no print; those that compare paintings may be."""


def _about(part: str) -> set[str]:
    return {name for name in OPTIONS if name.startswith(f"{part}_")}


ALONE = {
    *PRINT,
    "alpha",
    "content_weight",
    "effort",
    "save_every",
    "color",
    "color_transfer",
    "palette_strength",
    "recolor_content",
}
"""Where there is one picture, nothing is weighed, and whose colors there should be is no question."""

SHAPES = {"bleed_alpha", "panorama"}
"""What only certain shapes of content need."""

UNUSED_OPTIONS: dict[str, frozenset[str]] = {
    "features": OPTIONS - LOOKING,
    "gram": OPTIONS - LOOKING - {"seed"},
    "reconstruct": frozenset({*ALONE, *SHAPES, *_about("style"), "enlarge_style", "content_layers", "init"}),
    "texture": frozenset(
        {*ALONE, *SHAPES, *_about("content"), "style_layers", "style_weights", "laplacian_weight", "detail_transfer"}
    ),
    "recombine": frozenset({*SHAPES, "save_every", "style_weights"}),
    "sweep": frozenset({"save_every"}),
}
"""By view: the options that change nothing in it, or that it sets by itself."""


def require_used_options(view: str, options: Iterable[str]) -> None:
    """Raise `ConfigError` where an option would change nothing."""
    if strange := ", ".join(sorted(UNUSED_OPTIONS[view].intersection(options))):
        raise ConfigError(f"insight {view} has no use for {strange}. Leave it out.")
