"""`impasto presets`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from impasto.cli.console import print_table
from impasto.config.presets import PRESETS, load_preset, to_toml

__all__ = ["presets"]

presets = App(name="presets", help="List presets, or show one as TOML.", suppress_keyboard_interrupt=False)


@presets.default
def list_presets() -> int:
    """List presets and their purpose."""
    print_table((name, about) for name, (about, _) in PRESETS.items())
    return 0


@presets.command
def show(name: Annotated[str, Parameter(help="A preset's name, or a FILE.toml.")], /) -> int:
    """Print the options of a preset as TOML, to save, edit and use as --preset FILE.toml."""
    print(to_toml(load_preset(name)), end="")
    return 0
