"""Options that are written as text: layers with weights, and amounts of memory. Nothing here needs torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, PlainSerializer

from impasto.errors import ConfigError, LayerError

__all__ = ["Bytes", "LayerWeight", "Layers", "format_layers", "parse_bytes", "parse_layers"]


class LayerWeight(NamedTuple):
    """A layer by name, and its share in a loss."""

    name: str
    weight: float = 1.0


def parse_layers(value: Any) -> Any:
    """`"relu4_2,relu5_1:0.5"`, a list of such parts or of pairs, or a table, to a tuple of `LayerWeight`.

    Raises `LayerError` on a name without a layer, a weight that is no number, or a repeated layer.
    """
    if value is None:
        return ()
    if isinstance(value, Mapping):
        value = list(value.items())
    if not isinstance(value, (str, list, tuple)):
        raise LayerError(f"{value!r} names no layers. Write NAME or NAME:WEIGHT, comma-separated.")
    parts = value.split(",") if isinstance(value, str) else list(value)
    layers = []
    for part in parts:
        if isinstance(part, str):
            name, colon, weight = part.strip().partition(":")
            try:
                number = float(weight) if colon else 1.0
            except ValueError:
                raise LayerError(f"{part.strip()!r}: {weight!r} is no weight. Write NAME or NAME:WEIGHT.") from None
        else:
            try:
                name, number = str(part[0]), float(part[1])
            except (TypeError, ValueError, IndexError, KeyError):
                raise LayerError(f"{part!r} is no layer. Write NAME or NAME:WEIGHT.") from None
        if not name:
            raise LayerError(f"{value!r} has an empty layer name. Write NAME or NAME:WEIGHT, comma-separated.")
        if not 0 <= number < float("inf"):
            raise LayerError(f"{name}: the weight {number:g} is out of range. It must be 0 or more, and finite.")
        layers.append(LayerWeight(name, number))
    names = [layer.name for layer in layers]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise LayerError(f"{', '.join(sorted(repeated))} is listed twice. Name each layer once.")
    return tuple(layers)


def format_layers(layers: tuple[LayerWeight, ...]) -> str:
    """The inverse of `parse_layers`: `relu4_2,relu5_1:0.5`."""
    return ",".join(name if weight == 1 else f"{name}:{weight!r}" for name, weight in layers)


Layers = Annotated[
    tuple[LayerWeight, ...], BeforeValidator(parse_layers), PlainSerializer(format_layers, return_type=str)
]


def parse_bytes(value: Any) -> Any:
    """`"4GB"`, `"512 MiB"` or a number -> bytes. Raises `ConfigError`."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]?)(i?)b?\s*", value.lower())
    try:
        if match is None:
            raise ValueError
        number, prefix, binary = match.groups()
        return round(float(number) * (1024 if binary else 1000) ** " kmgt".index(prefix or " "))
    except ValueError:
        raise ConfigError(f"{value!r} is no amount of memory. Write 4GB or 800MB.") from None


Bytes = Annotated[int, BeforeValidator(parse_bytes)]
