"""The options as fields of the page's form, generated from the option models."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic.fields import FieldInfo

from impasto import samples, weights
from impasto.config import Config, Options, RunOptions
from impasto.config.model import choices_of, group_of, label_of
from impasto.config.networks import NETWORK_NAMES
from impasto.config.presets import PRESETS, load_preset
from impasto.config.run_options import BUILT_IN_PROFILES
from impasto.config.video import VideoOptions
from impasto.studio.pictures import FORMATS, can_write
from impasto.studio.schemas import Schema

__all__ = ["RUN", "VIDEO", "Field", "Form", "form"]

FIRST = ("alpha", "size", "iterations", "color", "init", "network")
"""The options at the top of the form, in their order."""

RUN = ("bits", "profile", "intent", "quality", "precision", "memory")
"""The run options that the page may set."""

VIDEO = tuple(name for name in VideoOptions.model_fields if name not in ("seconds", "lossless"))
"""The options of a clip that the page may set. Photos do not become clips here, and browsers play no lossless ones."""

WITH_UNITS = ("memory", "bleed", "bleed_alpha", "start", "end")
"""Numbers that a person may write with a unit: 4GB, 3mm, 8px, 1:30."""


class Field(Schema):
    """One option: its label, type, range and help. `order` is its place at the top of the form."""

    name: str
    label: str
    kind: Literal["number", "integer", "boolean", "choice", "text"]
    default: Any
    minimum: float | None = None
    maximum: float | None = None
    choices: list[str | int]
    help: str
    group: str
    order: int | None


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
    video: list[Field]
    presets: list[Preset]
    samples: list[Sample]
    networks: dict[str, bool]
    formats: dict[str, bool]


def form() -> Form:
    """Describe the form.

    `networks` says of each network whether its weights are on this machine, and `formats` of each format of a download
    whether it can be written here.
    """
    return Form(
        fields=_fields(Config, tuple(Config.model_fields)),
        run=_fields(RunOptions, RUN),
        video=_fields(VideoOptions, VIDEO),
        presets=[
            Preset(name=name, help=help_text, config=load_preset(name).overrides())
            for name, (help_text, _) in PRESETS.items()
        ],
        samples=[
            Sample(name=name, credit=samples.credit(name), kind="photo" if name in samples.PHOTOS else "painting")
            for name in samples.NAMES
        ],
        networks={name: weights.is_cached(name) for name in NETWORK_NAMES.names},
        formats={name: can_write(name) for name in FORMATS},
    )


def _fields(model: type[Options], names: tuple[str, ...]) -> list[Field]:
    schemas = model.model_json_schema()["properties"]
    written = model().model_dump(mode="json")  # texts as a person would write them
    return [_field(name, model.model_fields[name], schemas[name], written[name]) for name in names]


def _field(name: str, field: FieldInfo, schema: dict[str, Any], default: Any) -> Field:
    kinds = {"number": "number", "integer": "integer", "boolean": "boolean"}
    if "anyOf" in schema:  # it may be left open
        schema = schema["anyOf"][0]
    choices = list(BUILT_IN_PROFILES) if name == "profile" else choices_of(field)
    kind: Any = "choice" if choices else kinds.get(schema["type"], "text")
    if name in WITH_UNITS:
        kind = "text"
    return Field(
        name=name,
        label=label_of(name, field),
        kind=kind,
        default=default,
        minimum=schema.get("minimum", schema.get("exclusiveMinimum")),
        maximum=schema.get("maximum", schema.get("exclusiveMaximum")),
        choices=choices,
        help=_with_labels(field.description or ""),
        group=group_of(field),
        order=FIRST.index(name) if name in FIRST else None,
    )


def _with_labels(text: str) -> str:
    """Replace the flags of the command line in a help text by the labels of the page: `--wrap` by "Wrap the edges"."""

    def label(flag: re.Match[str]) -> str:
        name = flag[1].replace("-", "_")
        return f'"{label_of(name, Config.model_fields[name])}"'

    return re.sub(r"--([a-z-]+)", label, text)
