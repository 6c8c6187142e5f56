"""Named configs, and configs kept in TOML files.

A preset says only what differs from the defaults. Options given beside it override it.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any

from impasto.config import Config
from impasto.errors import ConfigError
from impasto.networks import VGG19

__all__ = ["PRESETS", "load_preset", "to_toml"]

PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "painterly": ("Impasto's default: structure of the photo, strokes and colors of the painting.", {}),
    "classic": (
        "The textbook recipe: white noise, one scale, VGG19, plain pixels, absolute units, Gram matrices "
        "F·Fᵀ/(hw), layers weighted equally, Total = Content + alpha * Style with alpha = 0.00001.",
        {
            "alpha": 1e-5,
            "network": "vgg19",
            "units": "absolute",
            "content_weight": 1.0,
            "tv_weight": 0.0,
            "pooling": "max",
            "init": "noise",
            "noise": "white",
            "noise_std": 0.2,
            "optimizer": "lbfgs",
            "parametrization": "pixels",
            "bounded": False,
            "iterations": 300,
            "scales": 1,
        },
    ),
    "pastiche": (
        "The objective of pastiche 1.6.0: content .01, style 10/C² of each layer, absolute units, content start.",
        {
            "alpha": 10.0,
            "units": "absolute",
            "content_weight": 0.01,
            "style_layers": {name: 1 / VGG19.channels(name) ** 2 for name in VGG19.style_layers},
            "init": "content",
            "scales": 1,
            "iterations": 200,
        },
    ),
}


def load_preset(preset: str | Path, **options: Any) -> Config:
    """The `Config` of a preset's name or TOML file, with `options` over it. Raises `ConfigError`."""
    return Config(**(_values(preset) | options))


def to_toml(config: Config) -> str:
    """A config as the text of a preset file."""
    lines = []
    for name, value in config.model_dump().items():
        text = str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')
        lines.append(f"{name} = {text}")
    return "\n".join(lines) + "\n"


def _values(preset: str | Path) -> dict[str, Any]:
    name = str(preset)
    if name in PRESETS:
        return PRESETS[name][1]
    path = Path(preset)
    if path.suffix != ".toml":
        near = difflib.get_close_matches(name, PRESETS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(PRESETS)}, or give a FILE.toml."
        raise ConfigError(f"There is no preset {name!r}. {hint}")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}. Write lines such as: alpha = 5") from error
    try:
        Config(**values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return values
