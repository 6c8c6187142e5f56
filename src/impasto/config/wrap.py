"""Pictures whose edges meet: the options, the dimensions that wrap, and the sides that this needs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from impasto.config.networks import Network
from impasto.errors import ConfigError

__all__ = ["SIDES", "Dims", "Wrap", "fit_sides", "require_wrapping", "side_multiples", "wrapped_dims"]

Wrap = Literal["none", "x", "y", "both"]

Dims = tuple[int, ...]
"""Dimensions of an image (1, 3, H, W) in which its edges meet."""

SIDES: Dims = (2, 3)

DIMS: dict[Wrap, Dims] = {"none": (), "x": (3,), "y": (2,), "both": SIDES}

LEAST_STEP_PX = 4
"""Side of the averages of the Laplacian, and of the cells that neighbors are matched by."""


def wrapped_dims(wrap: Wrap) -> Dims:
    """Return the dimensions of an image in which its edges meet."""
    return DIMS[wrap]


def require_wrapping(wrap: Wrap, network: Network) -> None:
    """Raise `ConfigError` if edges are to meet and the network has layers that cannot go on across them."""
    if wrap != "none" and not network.can_wrap:
        raise ConfigError(
            f"wrap = {wrap!r} does not work with {network.name}, whose layers skip or share pixels at the edges. "
            "Use vgg19 or vgg16, or leave out `wrap`."
        )


def side_multiples(wrap: Wrap, network: Network, layers: Iterable[str]) -> tuple[int, int]:
    """Return what the height and the width are to be multiples of, so that every layer goes on across the edges."""
    step = math.lcm(LEAST_STEP_PX, max(map(network.stride, layers)))
    down, across = (step if dim in DIMS[wrap] else 1 for dim in SIDES)
    return down, across


def fit_sides(height: int, width: int, multiples: tuple[int, int]) -> tuple[int, int]:
    """Raise a size to multiples of two numbers: the size that is painted."""
    down, across = multiples
    return -(-height // down) * down, -(-width // across) * across
