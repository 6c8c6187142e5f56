"""Content, style and smoothness as numbers: pure functions of tensors.

Laws: each returns a scalar of at least float32. A `scale` divides a squared error by the energy of what
it is measured against, so that 0.1 means that a tenth of the energy is off; a scale of 1 leaves it as
published.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from torch import Tensor

from impasto.statistics import widened

__all__ = ["Norm", "content_loss", "energy", "style_loss", "total_variation", "variation"]

Norm = Literal["squared", "absolute"]


def energy(parts: Iterable[Tensor]) -> float:
    """The mean square of a target given in parts: what relative losses are measured in. Never quite zero."""
    total, count = 0.0, 0
    for part in parts:
        total += float(widened(part).square().sum())
        count += part.numel()
    return max(total / count, 1e-12)


def content_loss(features: Tensor, target: Tensor, *, scale: float = 1.0) -> Tensor:
    """Mean squared error between two feature maps (1, C, h, w), over `scale`.

    Gatys et al. 2016, eq. 1, is half the sum instead: a constant factor.
    """
    return (widened(features) - widened(target)).square().mean() / scale


def style_loss(statistic: Tensor, target: Tensor, *, scale: float = 1.0) -> Tensor:
    """Mean squared error between two style statistics of one shape, such as Gram matrices, over `scale`.

    Gatys et al. 2016, eq. 4, has the same up to the constant 1/(4 h² w²) of its unscaled Gram matrices.
    """
    return (widened(statistic) - widened(target)).square().mean() / scale


def total_variation(image: Tensor, norm: Norm = "squared") -> Tensor:
    """Mean difference of neighboring pixels, squared or absolute, across plus down, of an image (1, 3, H, W).

    Mahendran & Vedaldi 2014 (1412.0035), β = 2 or 1, as a mean: size does not change it.
    """
    return variation(image, 3, norm) + variation(image, 2, norm)


def variation(image: Tensor, dim: int, norm: Norm) -> Tensor:
    """The same along one dimension; zero where there are no neighbors."""
    difference = widened(image).diff(dim=dim)
    sizes = difference.square() if norm == "squared" else difference.abs()
    return sizes.mean() if sizes.numel() else sizes.sum()
