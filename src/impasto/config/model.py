"""The base of all option models: frozen, with errors of one line, and fields that describe themselves."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from impasto.config.registry import Registry
from impasto.config.types import AUTO
from impasto.errors import ConfigError

__all__ = ["Options", "choices_of", "example_of", "group_of", "label_of", "option"]


def option(default: Any, *, group: str, description: str, example: Any, label: str | None = None, **rules: Any) -> Any:
    """Declare an option: what pydantic's `Field` takes, a theme to list it under, and a value that is not the default.

    `label` is its name on the page (default: the field's name in words).
    """
    extra: dict[str, Any] = {"group": group}
    return Field(default, description=description, title=label, examples=[example], json_schema_extra=extra, **rules)


def group_of(field: FieldInfo) -> str:
    """Return the theme that an option is listed under."""
    extra = field.json_schema_extra
    return str(extra["group"]) if isinstance(extra, Mapping) and "group" in extra else ""


def label_of(name: str, field: FieldInfo) -> str:
    """Return the name of an option on the page."""
    return field.title or name.replace("_", " ").capitalize()


def choices_of(field: FieldInfo) -> list[Any]:
    """Return the values that an option is limited to, an empty list if it is not; "auto" is not among them."""
    for rule in field.metadata:
        if isinstance(rule, Registry):
            return list(rule.names)
    kinds = [field.annotation, *typing.get_args(field.annotation)]
    return [value for kind in kinds if typing.get_origin(kind) is typing.Literal for value in typing.get_args(kind)]


def example_of(field: FieldInfo) -> Any:
    """Return a value of an option that is not its default."""
    return (field.examples or [None])[0]


def _explain(error: ValidationError, options: type[BaseModel]) -> str:
    """Describe the first error of a `ValidationError` on one line."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, options.model_fields, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(sorted(options.model_fields))}."
        return f"{name!r} is not an option of {options.__name__}. {hint}"
    if first["type"] == "missing":
        return f"{name} is missing. Give a {name}."
    wanted = first["msg"].removeprefix("Value error, ")
    field = options.model_fields.get(name)
    choice = ", or auto" if field is not None and AUTO in field.metadata else ""
    return f"{name} = {first['input']!r} is refused: {wanted[0].lower()}{wanted[1:]}{choice}."


class Options(BaseModel):
    """A frozen model whose complaints are one clear line each."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def take(cls, options: dict[str, Any]) -> Self:
        """Build the model from its options among others, and remove them there. Raises `ConfigError`."""
        return cls(**{name: options.pop(name) for name in cls.model_fields if name in options})

    @model_validator(mode="wrap")
    @classmethod
    def _one_clear_line(cls, data: Any, handler: Any) -> Self:
        try:
            checked: Self = handler(data)
        except ValidationError as error:
            raise ConfigError(_explain(error, cls)) from None
        return checked
