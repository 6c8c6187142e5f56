"""The options as the page's form has them, from the fields of the models: written once, in `config.py`."""

from __future__ import annotations

from typing import Any, Literal

from impasto import samples, weights
from impasto.config import Config, Options, RunOptions
from impasto.config.presets import PRESETS, load_preset
from impasto.studio.schemas import Schema

__all__ = ["Field", "Form", "form"]

FIRST = ("alpha", "size", "iterations", "network", "color", "init")
"""What matters most, and stands up front."""

RUN = ("bits", "quality", "precision", "memory")
"""How a run is carried out, as far as a page may decide it."""

WORDS = {
    "alpha": "Style strength (α)",
    "iterations": "Steps",
    "init": "Start",
    "color": "Colors",
    "tv_norm": "Total variation",
    "tv_weight": "Weight of total variation",
    "lbfgs": "L-BFGS",
}


class Field(Schema):
    """One option: what it is called, what it takes, what it does."""

    name: str
    label: str
    kind: Literal["number", "integer", "boolean", "choice", "text"]
    default: Any
    minimum: float | None = None
    maximum: float | None = None
    choices: list[str | int]
    help: str
    first: bool


class Preset(Schema):
    """Named options: those that differ from the usual ones."""

    name: str
    help: str
    config: dict[str, Any]


class Sample(Schema):
    """A picture that ships."""

    name: str
    credit: str
    kind: Literal["photo", "painting"]


class Form(Schema):
    """All that a page needs to know before it can ask for a picture."""

    fields: list[Field]
    run: list[Field]
    presets: list[Preset]
    samples: list[Sample]
    networks: dict[str, bool]


def form() -> Form:
    """The form as it is now. `networks` tells of each whether its weights are here."""
    networks = Config.model_json_schema()["properties"]["network"]["enum"]
    return Form(
        fields=_fields(Config, tuple(Config.model_fields)),
        run=_fields(RunOptions, RUN),
        presets=[
            Preset(name=name, help=help_text, config=load_preset(name).overrides())
            for name, (help_text, _) in PRESETS.items()
        ],
        samples=[
            Sample(name=name, credit=samples.credit(name), kind="photo" if name in samples.PHOTOS else "painting")
            for name in samples.NAMES
        ],
        networks={name: weights.is_cached(name) for name in networks},
    )


def _fields(model: type[Options], names: tuple[str, ...]) -> list[Field]:
    schemas = model.model_json_schema()["properties"]
    written = model().model_dump(mode="json")  # texts as a person would write them
    return [_field(name, schemas[name], written[name]) for name in names]


def _field(name: str, schema: dict[str, Any], default: Any) -> Field:
    kinds = {"number": "number", "integer": "integer", "boolean": "boolean"}
    if "anyOf" in schema:  # it may be left open
        schema = schema["anyOf"][0] | {"description": schema["description"]}
    kind: Any = "choice" if "enum" in schema else kinds.get(schema["type"], "text")
    if name == "memory":  # written as 4GB
        kind = "text"
    return Field(
        name=name,
        label=WORDS.get(name, name.replace("_", " ").capitalize()),
        kind=kind,
        default=default,
        minimum=schema.get("minimum", schema.get("exclusiveMinimum")),
        maximum=schema.get("maximum", schema.get("exclusiveMaximum")),
        choices=schema.get("enum", []),
        help=schema["description"],
        first=name in FIRST,
    )
