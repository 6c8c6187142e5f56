"""Flags in errors: the library names options as Python does, and the command line as a person types them."""

from __future__ import annotations

import re

from impasto.cli.options import flag_name
from impasto.config import Config, RunOptions
from impasto.config.video import VideoOptions

__all__ = ["name_flags"]

NAMES = "|".join({**Config.model_fields, **RunOptions.model_fields, **VideoOptions.model_fields})

OPTION = re.compile(
    rf"""(?<![\w./`-])
    (?:`(?P<marked>{NAMES})`
    | (?P<set>{NAMES})\ =\ (?:'(?P<text>[^']*)'|(?P<value>[^\s,:;]+))
    | \A(?P<plain>{NAMES})(?=:\ ) | (?P<long>[a-z]+(?:_[a-z]+)+))
    (?![\w=/]|\.\w)""",
    re.VERBOSE,
)
"""An option in the text of an error: marked, with a value, at its head, or by a name that is no English word."""


def name_flags(text: str) -> str:
    """Replace the names of options by flags: `style_scale` and "init = 'image'" by --style-scale and --init image."""
    return OPTION.sub(_flag, text)


def _flag(found: re.Match[str]) -> str:
    name = next(filter(None, found.group("marked", "set", "plain", "long")))
    if not re.fullmatch(NAMES, name):
        return found[0]
    value = found["text"] if found["text"] is not None else found["value"]
    return flag_name(name) + ("" if value is None else f" {value}")
