"""Statistics of features that describe style: moments, and the matrices made from them.

Laws: features are (1, C, h, w). Moments are at least float32, whatever the precision of the features. They are sums
over positions, so moments of tiles add up to the moments of the whole image; this is why an image can be
measured in tiles or on several machines. Positions are lost here: style does not depend on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "Moments",
    "blend_moments",
    "centered_matrices",
    "compute_moments",
    "compute_moments_by_region",
    "covariance_matrix",
    "gram_matrix",
    "mask_area",
    "to_float32",
]

MEAN_WEIGHT = 0.3
"""Weight of the means beside the covariance: its square is their share of the error (benchmarks/quality.py)."""


@dataclass(frozen=True)
class Moments:
    """First and second moments of a layer's features, as sums over `count` positions.

    `sum` is (C,). `outer` is (C, C), the sum of each feature vector's outer product with itself. A mask in [0, 1]
    weights the positions.
    """

    count: float
    sum: Tensor
    outer: Tensor

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.sum + other.sum, self.outer + other.outer)


def blend_moments(parts: Sequence[tuple[float, Moments]]) -> Moments:
    """Average the means and second moments of several styles, by shares that sum to one.

    Averaging covariances instead would lose the spread between the styles.
    """
    first = parts[0][1]
    if len(parts) == 1:
        return first
    mean, second = torch.zeros_like(first.sum), torch.zeros_like(first.outer)
    for share, moments in parts:
        mean.add_(moments.sum, alpha=share / moments.count)
        second.add_(moments.outer, alpha=share / moments.count)
    return Moments(1, mean, second)


def compute_moments(features: Tensor, mask: Tensor | None = None) -> Moments:
    """Compute moments of a feature map (1, C, h, w), weighted by a mask (h, w) if given.

    The guided Gram matrix of Gatys et al. 2017 (1611.07865) with T = √mask, so that moments of the regions of an
    image add up to those of the whole.
    """
    vectors = to_float32(features).flatten(2).squeeze(0)  # (C, h*w)
    if mask is None:
        return Moments(vectors.shape[1], vectors.sum(dim=1), vectors @ vectors.T)
    weighted = vectors * mask.flatten()
    return Moments(mask_area(mask), weighted.sum(dim=1), weighted @ vectors.T)


def mask_area(mask: Tensor) -> float:
    """Sum a mask in float64, so that the result does not depend on how it is split into tiles."""
    return float(mask.cpu().sum(dtype=torch.float64))


def compute_moments_by_region(features: Tensor, masks: Tensor | None) -> tuple[Moments, ...]:
    """Compute moments of each region by its mask, of masks (R, h, w); None is one region."""
    return (compute_moments(features),) if masks is None else tuple(compute_moments(features, mask) for mask in masks)


def to_float32(tensor: Tensor) -> Tensor:
    """Convert to float32 unless the tensor is wider: the precision of moments and losses."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def gram_matrix(moments: Moments) -> Tensor:
    """Compute channel correlations, moments -> (C, C).

    Divides by the number of positions, h*w, so images of any size compare.
    Gatys et al. 2016 (CVPR), eq. 3, leaves it unscaled.
    """
    return moments.outer / moments.count


def covariance_matrix(moments: Moments) -> Tensor:
    """Compute channel correlations around their means, moments -> (C, C)."""
    mean = moments.sum / moments.count
    return gram_matrix(moments) - torch.outer(mean, mean)


def centered_matrices(moments: Moments) -> Tensor:
    """Compute the covariance and the outer product of the means times `MEAN_WEIGHT`, moments -> (2, C, C).

    Their sum, with a weight of 1, is the Gram matrix, in which the means outweigh what varies: strokes. Without the
    means, a painting of one color would have no color.
    """
    mean = moments.sum / moments.count
    means = torch.outer(mean, mean)
    return torch.stack([gram_matrix(moments) - means, MEAN_WEIGHT * means])
