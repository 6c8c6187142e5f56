"""Options that are written as text: layers with weights, lists of numbers, sizes, memory. Nothing here needs torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeAlias, TypeVar, get_args

from pydantic import BeforeValidator, Field, PlainSerializer

from impasto.errors import ConfigError, LayerError

if TYPE_CHECKING:
    from typing import IO, Protocol, TypeAlias

    import numpy as np
    from PIL.Image import Image
    from torch import Tensor

    class Named(Protocol):
        """A picture with a name of its own, such as `impasto.NamedImage`."""

        @property
        def name(self) -> str: ...

        @property
        def pixels(self) -> Any: ...

    ImageLike: TypeAlias = str | PathLike[str] | bytes | IO[bytes] | Image | np.ndarray[Any, Any] | Tensor | Named
    """A picture: a path or `sample:NAME`, a file's bytes, an open file, a PIL image, an array or a tensor."""
    LayersLike: TypeAlias = str | Sequence[str | tuple[str, float]] | Mapping[str, float]
    NumbersLike: TypeAlias = str | float | Sequence[float]
    LengthsLike: TypeAlias = str | float | Sequence[float | str]

__all__ = [
    "AUTO",
    "Augmentation",
    "Auto",
    "Bytes",
    "FourierPower",
    "LayerWeight",
    "Layers",
    "Length",
    "Lengths",
    "Numbers",
    "Pixels",
    "ScaleCount",
    "Share",
    "Start",
    "StepCount",
    "Supersample",
    "format_layers",
    "is_named_start",
    "parse_bytes",
    "parse_layers",
    "parse_lengths",
    "parse_numbers",
    "parse_pixels",
]

Augmentation: TypeAlias = Literal["none", "mirror", "rotate"]
"""Views of a style that are measured together."""


def parse_auto(value: Any) -> Any:
    """Read the text "auto" as None, and pass on anything else."""
    return None if isinstance(value, str) and value.strip().lower() == "auto" else value


T = TypeVar("T")

AUTO = BeforeValidator(parse_auto)
Auto = Annotated[T | None, AUTO]
"""A value that may be left open: None, or the text "auto", means that Impasto chooses."""

Start: TypeAlias = Literal["noise", "recolored", "content", "style", "image"]


def is_named_start(value: Any) -> bool:
    """Return True for a value of `init` that is left open, or a name that needs no picture of its own."""
    return parse_auto(value) is None or (isinstance(value, str) and value != "image" and value in get_args(Start))


StepCount = Annotated[int, Field(ge=1, le=1_000_000)]
ScaleCount = Annotated[int, Field(ge=1, le=12)]
Share = Annotated[float, Field(ge=0, le=1)]
FourierPower = Annotated[float, Field(gt=0, le=8)]
Supersample = Annotated[float, Field(ge=1, le=4)]


class LayerWeight(NamedTuple):
    """A layer by name, and its share in a loss."""

    name: str
    weight: float = 1.0


def parse_layers(value: Any) -> Any:
    """`"relu4_2,relu5_1:0.5"`, a list of such parts or of pairs, or a table, to a tuple of `LayerWeight`.

    Raises `LayerError` on a name without a layer, a weight that is no number, or a repeated layer.
    """
    if isinstance(value, Mapping):
        value = list(value.items())
    if not isinstance(value, (str, list, tuple)):
        raise LayerError(f"{value!r} names no layers. Write NAME or NAME:WEIGHT, comma-separated.")
    parts = value.split(",") if isinstance(value, str) else list(value)
    if not parts:
        raise LayerError("No layers are listed. Write NAME or NAME:WEIGHT, comma-separated, or auto.")
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


def _written(number: float) -> str:
    """Format a number as briefly as possible without losing precision."""
    return f"{number:g}" if float(f"{number:g}") == number else repr(number)


def format_layers(layers: tuple[LayerWeight, ...]) -> str:
    """Format layers as `parse_layers` reads them: `relu4_2,relu5_1:0.5`."""
    return ",".join(name if weight == 1 else f"{name}:{_written(weight)}" for name, weight in layers)


Layers = Annotated[
    tuple[LayerWeight, ...], BeforeValidator(parse_layers), PlainSerializer(format_layers, return_type=str)
]


def _parts(value: Any) -> list[Any]:
    """One value, comma-separated text or a list, as a list."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")] if value.strip() else []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def parse_numbers(value: Any) -> Any:
    """`"2,1"`, a number or a list of numbers -> a tuple of floats. Raises `ConfigError`."""
    try:
        numbers = tuple(float(part) for part in _parts(value))
    except (TypeError, ValueError):
        raise ConfigError(f"{value!r} is no list of numbers. Write 2,1 or 0.5.") from None
    if not numbers:
        raise ConfigError("No numbers are listed. Write them comma-separated, such as 2,1, or auto.")
    return numbers


Numbers = Annotated[
    tuple[float, ...],
    BeforeValidator(parse_numbers),
    PlainSerializer(lambda numbers: ",".join(map(_written, numbers)), return_type=str),
]


class Length(NamedTuple):
    """A size: so many pixels, or so many times another one."""

    number: float
    in_px: bool = False

    def __str__(self) -> str:
        return f"{_written(self.number)}px" if self.in_px else _written(self.number)


def parse_lengths(value: Any) -> Any:
    """`"0.5"`, `"0.5,300px"`, a number or a list of these -> a tuple of `Length`. Raises `ConfigError`."""
    lengths = []
    for part in [value] if isinstance(value, Length) else _parts(value):
        if isinstance(part, Length):
            lengths.append(part)
            continue
        in_px = isinstance(part, str) and part.lower().endswith("px")
        try:
            number = float(part[:-2] if in_px else part)
        except (TypeError, ValueError):
            raise ConfigError(f"{part!r} is no size. Write 0.5 for half of the picture's, or 300px.") from None
        if not 0 < number < float("inf"):
            raise ConfigError(f"A size of {part} is out of range. It must be more than 0, and finite.")
        lengths.append(Length(number, in_px))
    return tuple(lengths)


Lengths = Annotated[
    tuple[Length, ...],
    BeforeValidator(parse_lengths),
    PlainSerializer(lambda lengths: ",".join(map(str, lengths)), return_type=str),
]


def parse_pixels(value: Any) -> Any:
    """`"8px"`, `"8"` or a number -> a number of pixels. Raises `ConfigError`."""
    if not isinstance(value, str):
        return value
    try:
        return int(value.strip().lower().removesuffix("px"))
    except ValueError:
        raise ConfigError(f"{value!r} is no number of pixels. Write 8px or 8.") from None


Pixels = Annotated[int, BeforeValidator(parse_pixels), Field(ge=0, le=1024)]


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
