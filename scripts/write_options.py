"""Write docs/options.md from the option models. A test compares the two."""

from __future__ import annotations

import typing
from pathlib import Path

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from impasto.cli.options import default_of
from impasto.config import Config, RunOptions
from impasto.config.model import choices_of, group_of
from impasto.config.presets import PRESETS
from impasto.config.video import VideoOptions

PAGE = Path(__file__).parent.parent / "docs" / "options.md"
TITLES: dict[type[BaseModel], str] = {
    Config: "What shapes the picture",
    RunOptions: "How the run is carried out",
    VideoOptions: "What clips have besides",
}


def render() -> str:
    """Return the text of the page."""
    parts = [
        "# Options\n",
        "On the command line an option is a flag (`--style-layers`), in Python a keyword argument (`style_layers=`).",
        "Options that shape the picture can also be set in a preset, a TOML file.\n",
        "This page is generated from `src/impasto/config/` by `scripts/write_options.py`.\n",
    ]
    for model, title in TITLES.items():
        parts.append(f"## {title}\n")
        for group in dict.fromkeys(map(group_of, model.model_fields.values())):
            parts += [f"### {group}\n", "| option | default | range | description |", "|---|---|---|---|"]
            parts += [_row(name, field) for name, field in model.model_fields.items() if group_of(field) == group]
            parts.append("")
    parts += ["## Presets\n", "| preset | description |", "|---|---|"]
    parts += [f"| `{name}` | {about} |" for name, (about, _) in PRESETS.items()]
    parts += [
        "",
        "`--preset NAME` uses a preset; options that you give with it override its values. `--preset FILE.toml` reads",
        "your own preset. To start one, print an existing preset: `impasto presets show NAME`. In a preset, layers are",
        "a string as on the command line, or a table of weights.",
    ]
    return "\n".join(parts) + "\n"


def _row(name: str, field: FieldInfo) -> str:
    default = "" if field.default == () else f"`{default_of(field)}`"
    return f"| `{name}` | {default} | {_range(field)} | {field.description} |"


def _range(field: FieldInfo) -> str:
    kind, rules = field.annotation, list(field.metadata)
    auto = []
    if type(None) in typing.get_args(kind):
        (kind,) = (part for part in typing.get_args(kind) if part is not type(None))
        auto = ["`auto`"]
    if typing.get_origin(kind) is typing.Annotated:
        kind, *inner = typing.get_args(kind)
        rules += [rule for part in inner for rule in getattr(part, "metadata", [part])]
    if choices := choices_of(field):
        return ", ".join([*auto, *(f"`{choice}`" for choice in choices)])
    if kind is bool:
        return "on, off"
    signs = {annotated_types.Ge: ("≥", "ge"), annotated_types.Gt: (">", "gt"), annotated_types.Le: ("≤", "le")}
    return ", ".join(
        f"{signs[type(rule)][0]} {getattr(rule, signs[type(rule)][1])}" for rule in rules if type(rule) in signs
    )


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
