"""Named configs, and configs kept in TOML files: those that ship are such files, in this folder.

A preset says only what differs from the defaults. Options given beside it override it.
"""

from __future__ import annotations

import difflib
import itertools
import json
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from impasto.config import Config
from impasto.errors import ConfigError, LayerError

__all__ = ["PRESETS", "load_preset", "to_toml"]

NAMES = (
    "painterly",
    "neighbor",
    "faithful",
    "sketch",
    "abstract",
    "texture",
    "classic",
    "textbook",
    "gatys2016",
    "neural-style",
    "pastiche",
    "crowsonkb",
    "pytorch-tutorial",
)
"""The first is the default, `classic` the plain method. The parity presets have another program's objective, and
Impasto's way down."""


def _read(name: str) -> tuple[str, dict[str, Any]]:
    """Read a shipped preset: its purpose, from its opening comment, and its options."""
    text = resources.files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    opening = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    return " ".join(line.removeprefix("#").strip() for line in opening), tomllib.loads(text)


PRESETS: dict[str, tuple[str, dict[str, Any]]] = {name: _read(name) for name in NAMES}


def load_preset(preset: str | Path, **options: Any) -> Config:
    """Load a preset by name or TOML file, overridden by `options`. Raises `ConfigError`."""
    return Config(**(_values(preset) | options))


def to_toml(config: Config) -> str:
    """Return a config as the text of a preset file: what differs from the defaults, and these as comments."""
    overrides = config.overrides()
    lines = [f"{name} = {_toml_value(value)}" for name, value in overrides.items()]
    lines += ["# The defaults of all other options:"]
    lines += [
        f"# {name} = {_toml_value(v)}" for name, v in Config().model_dump(mode="json").items() if name not in overrides
    ]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    return json.dumps("auto" if value is None else value)


def _values(preset: str | Path) -> dict[str, Any]:
    name = str(preset)
    if name in PRESETS:
        return PRESETS[name][1]
    path = Path(preset)
    if path.suffix != ".toml":
        near = difflib.get_close_matches(name, PRESETS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Use one of {', '.join(PRESETS)}, or a FILE.toml."
        raise ConfigError(f"There is no preset {name!r}. {hint}")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}. Write lines such as: alpha = 5") from error
    try:
        Config(**values)
    except (ConfigError, LayerError) as error:
        raise type(error)(f"{path}: {error}") from None
    return values
