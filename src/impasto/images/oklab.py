"""Oklab, a color space in which equal distances look about equally different.

Björn Ottosson, "A perceptual color space for image processing", 2020. Colors are sRGB in [0, 1]. L is in [0, 1]; a and
b are within about 0.35 of zero, which is gray.
"""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.images.srgb import from_linear, to_linear

__all__ = ["from_oklab", "to_oklab"]

TO_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
"""Linear sRGB to the responses of the eye's long, middle and short cones."""

TO_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
"""Cube roots of cone responses to L, a and b."""


def to_oklab(image: Tensor) -> Tensor:
    """Convert sRGB to Oklab, (N, 3, ...) -> the same shape."""
    cones = _apply(TO_CONES, to_linear(image))
    return _apply(TO_LAB, cones.sign() * cones.abs() ** (1 / 3))


def from_oklab(colors: Tensor) -> Tensor:
    """Convert Oklab to sRGB, (N, 3, ...) -> the same shape. Colors that sRGB has not are outside of [0, 1]."""
    return from_linear(_apply(_inverse(TO_CONES), _apply(_inverse(TO_LAB), colors) ** 3))


def _apply(matrix: tuple[tuple[float, ...], ...], colors: Tensor) -> Tensor:
    return torch.einsum("ij,nj...->ni...", torch.tensor(matrix, dtype=colors.dtype, device=colors.device), colors)


def _inverse(matrix: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, torch.tensor(matrix, dtype=torch.float64).inverse().tolist()))
