"""Content, style and smoothness as numbers: pure functions of tensors.

Laws: each returns a scalar of at least float32. A `scale` divides a squared error by the energy of what
it is measured against, so that 0.1 means that a tenth of the energy is off; a scale of 1 leaves it as
published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from impasto.statistics import (
    LEAST_VARIANCE,
    Moments,
    covariance,
    doubled,
    gaussian,
    gram_matrix,
    mean_and_deviation,
    widened,
)

__all__ = [
    "STYLE_LOSSES",
    "Norm",
    "StyleLoss",
    "content_loss",
    "energy",
    "style_loss",
    "total_variation",
    "variation",
    "wasserstein_loss",
]

Norm = Literal["squared", "absolute"]


def energy(parts: Iterable[Tensor]) -> float:
    """The mean square of a target given in parts: what relative losses are measured in."""
    total, count = 0.0, 0
    for part in parts:
        total += float(widened(part).square().sum())
        count += part.numel()
    return total / count


def content_loss(features: Tensor, target: Tensor, *, scale: float = 1.0) -> Tensor:
    """Mean squared error between two feature maps (1, C, h, w), over `scale`.

    Gatys et al. 2016, eq. 1, is half the sum instead: a constant factor.
    """
    return (widened(features) - widened(target)).square().mean() / scale


def style_loss(statistic: Tensor, target: Tensor) -> Tensor:
    """Mean squared error between two style statistics of one shape, such as Gram matrices.

    Gatys et al. 2016, eq. 4, has the same up to the constant 1/(4 h² w²) of its unscaled Gram matrices.
    """
    return (widened(statistic) - widened(target)).square().mean()


def wasserstein_loss(moments: Moments, kept: Tensor) -> Tensor:
    """Squared 2-Wasserstein distance between the Gaussian of `moments` and a `gaussian` that was kept.

    |μ − μ*|² + tr(C + C* − 2 (C*^½ C C*^½)^½): Olkin & Pukelsheim 1982; what
    style-transfer-pytorch compares styles by.
    """
    mean, root = doubled(moments.sum / moments.count), doubled(kept[1:])
    wanted = root.square().sum()
    least = LEAST_VARIANCE / (1 + LEAST_VARIANCE) * wanted / len(mean)
    spread = doubled(covariance(moments)) + least * torch.eye(len(mean), dtype=mean.dtype, device=mean.device)
    shared = torch.linalg.eigvalsh(root @ spread @ root).clamp(min=float(least) ** 2).sqrt().sum()
    distance = (mean - doubled(kept[0])).square().sum() + spread.trace() + wanted - 2 * shared
    loss: Tensor = distance.clamp(min=0).to(moments.sum)
    return loss


@dataclass(frozen=True)
class StyleLoss:
    """A way to compare styles: what is kept of one, the distance of moments from that, and its energy.

    The distance over the energy is the loss in relative units.
    """

    kept: Callable[[Moments], Tensor]
    distance: Callable[[Moments, Tensor], Tensor]
    energy: Callable[[Tensor], float]


def _by_error(statistic: Callable[[Moments], Tensor]) -> StyleLoss:
    return StyleLoss(statistic, lambda moments, kept: style_loss(statistic(moments), kept), lambda kept: energy([kept]))


STYLE_LOSSES = {
    "gram": _by_error(gram_matrix),
    "covariance": _by_error(covariance),
    "mean-std": _by_error(mean_and_deviation),
    "wasserstein": StyleLoss(gaussian, wasserstein_loss, lambda kept: float(kept.square().sum())),
}
"""By the names that `Config.style_loss` has: a new one is a function of `Moments`, and a line here and there."""


def total_variation(image: Tensor, norm: Norm = "squared") -> Tensor:
    """Differences of neighboring pixels, squared or absolute, across and down, summed: of an image (1, 3, H, W).

    Mahendran & Vedaldi 2014 (1412.0035), β = 2 or 1. Divided by the image's numel, size does not change it.
    """
    return variation(image, 3, norm) + variation(image, 2, norm)


def variation(image: Tensor, dim: int, norm: Norm) -> Tensor:
    """The same along one dimension."""
    difference = widened(image).diff(dim=dim)
    return (difference.square() if norm == "squared" else difference.abs()).sum()
