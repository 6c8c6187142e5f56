"""Flags from the fields of option models: type, range, default and help are written on the model only."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from impasto.cli.parameters import parse_whole
from impasto.config import Config, RunOptions
from impasto.config.model import choices_of, group_of
from impasto.config.registry import Registry
from impasto.config.types import AUTO
from impasto.config.video import VideoOptions

__all__ = ["default_of", "flag_name", "with_options"]

GROUPS = {
    name: Group(name, sort_key=number)
    for number, name in enumerate(
        dict.fromkeys(
            group_of(field) for model in (VideoOptions, Config, RunOptions) for field in model.model_fields.values()
        ),
        start=1,
    )
}
"""The groups of flags in `--help`: the themes of the options, in the order of the fields."""

LABELS = {int: "INT or auto", float: "FLOAT or auto"}
"""Labels in `--help` of the values of numbers that may be left open."""

HELP = {"init": "Start of the target: auto, noise, recolored, content, style, or the FILE of a picture."}
"""Help for flags that accept more than the option: a FILE sets init = image."""


def flag_name(field: str) -> str:
    """`style_layers` -> `--style-layers`."""
    return "--" + field.replace("_", "-")


def with_options(
    *models: type[BaseModel], without: Collection[str] = (), defaults: Mapping[str, Any] | None = None
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command a flag for every field of `models`; it receives those that were given as `**options`.

    Fields named in `without` mean nothing to it; `defaults` are those that it has of its own, for the help.
    """

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @wraps(command)
        def with_given_only(*args: Any, **kwargs: Any) -> int:
            fields = {name for model in models for name in model.model_fields}
            return command(*args, **{k: v for k, v in kwargs.items() if k not in fields or v is not None})

        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        generated = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=_annotation(name, field, (defaults or {}).get(name)),
            )
            for model in models
            for name, field in model.model_fields.items()
            if name not in without
        ]
        parameters = [*own, *generated]
        with_given_only.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        with_given_only.__annotations__ = {p.name: p.annotation for p in parameters}
        return with_given_only

    return decorate


def _annotation(name: str, field: FieldInfo, own_default: Any = None) -> Any:
    kind: Any = str if name == "init" else _flag_type(field)
    default = default_of(field) if own_default is None else str(own_default)
    help_text = f"{HELP.get(name, field.description)}{f' [default: {default}]' if default else ''}"
    label = next((label for part, label in LABELS.items() if part in typing.get_args(kind)), None)
    label = "CHOICE" if AUTO in field.metadata and choices_of(field) else label
    return Annotated[
        kind | None,
        Parameter(
            help=help_text,
            group=GROUPS[group_of(field)],
            negative="" if kind is not bool else None,
            metavar=label,
            show_choices=label not in LABELS.values(),
            converter=parse_whole if int in (kind, *typing.get_args(kind)) else None,
        ),
    ]


def default_of(field: FieldInfo) -> str:
    """Return a field's default as it is written by hand; empty where it has none."""
    if field.default is None:
        return "auto" if AUTO in field.metadata else ""
    return ",".join(map(str, field.default)) if isinstance(field.default, tuple) else str(field.default)


def _flag_type(field: FieldInfo) -> Any:
    """Return the type of a flag: text where the model parses it, and with "auto" where a value may be left open."""
    if any(isinstance(rule, Registry) for rule in field.metadata):
        return Literal[tuple(choices_of(field))]
    is_optional = AUTO in field.metadata
    kind, rules = field.annotation, [rule for rule in field.metadata if rule is not AUTO]
    if is_optional:
        (kind,) = (part for part in typing.get_args(kind) if part is not type(None))
    if typing.get_origin(kind) is Annotated:
        kind, *inner = typing.get_args(kind)
        rules += inner
    if any(isinstance(rule, BeforeValidator) for rule in rules):
        return str
    return kind | Literal["auto"] if is_optional else kind
