"""What style is made of: moments of features, and the statistics made from them.

Laws: features are (1, C, h, w). Moments are accumulated in at least float32, whatever the features'
precision. They are sums over positions, so moments of parts add up to the moments of the whole, which
is what lets a picture be measured in tiles or on many machines. Position is gone after this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "Moments",
    "blend_moments",
    "compute_moments",
    "compute_moments_by_region",
    "covariance",
    "gram_matrix",
    "mask_area",
    "to_float32",
]


@dataclass(frozen=True)
class Moments:
    """First and second moments of a layer's features, as sums over `count` positions.

    `sum` is (C,), `outer` is (C, C): the sum of every feature vector with itself. Where positions belong
    to a region by a share of one, that is what each counts for.
    """

    count: float
    sum: Tensor
    outer: Tensor

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.sum + other.sum, self.outer + other.outer)


def blend_moments(parts: Sequence[tuple[float, Moments]]) -> Moments:
    """Moments of a mixture of styles: means and second moments averaged, by shares that sum to one.

    Not covariances: the mixture of two styles has the spread between them too.
    """
    first = parts[0][1]
    if len(parts) == 1:
        return first
    mean, second = torch.zeros_like(first.sum), torch.zeros_like(first.outer)
    for share, moments in parts:
        mean.add_(moments.sum, alpha=share / moments.count)
        second.add_(moments.outer, alpha=share / moments.count)
    return Moments(1, mean, second)


def compute_moments(features: Tensor, guide: Tensor | None = None) -> Moments:
    """Moments of a feature map, (1, C, h, w) -> (C,) and (C, C), or of a region of it by its guide, (h, w).

    A guided Gram matrix (Gatys et al. 2017, 1611.07865) with the square root of the guide as its T, so that
    the moments of regions that share a picture add up to those of the whole.
    """
    vectors = to_float32(features).flatten(2).squeeze(0)  # (C, h*w)
    if guide is None:
        return Moments(vectors.shape[1], vectors.sum(dim=1), vectors @ vectors.T)
    weighted = vectors * guide.flatten()
    return Moments(mask_area(guide), weighted.sum(dim=1), weighted @ vectors.T)


def mask_area(guide: Tensor) -> float:
    """How many positions a guide amounts to; in float64, so that it does not matter in which parts it is summed."""
    return float(guide.cpu().sum(dtype=torch.float64))


def compute_moments_by_region(features: Tensor, guides: Tensor | None) -> tuple[Moments, ...]:
    """Moments of each region by its guide, of guides (R, h, w); without any, of the whole."""
    return (
        (compute_moments(features),) if guides is None else tuple(compute_moments(features, guide) for guide in guides)
    )


def to_float32(tensor: Tensor) -> Tensor:
    """The same numbers in at least float32, what moments and losses are computed in."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def gram_matrix(moments: Moments) -> Tensor:
    """Channel correlations, moments -> (C, C).

    Divides by the number of positions, h*w, so images of any size compare.
    Gatys et al. 2016 (CVPR), eq. 3, leaves it unscaled.
    """
    return moments.outer / moments.count


def covariance(moments: Moments) -> Tensor:
    """How channels vary together around their means, moments -> (C, C)."""
    mean = moments.sum / moments.count
    return gram_matrix(moments) - torch.outer(mean, mean)
