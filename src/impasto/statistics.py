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
    "LEAST_VARIANCE",
    "Moments",
    "blended",
    "covariance",
    "doubled",
    "gaussian",
    "gram_matrix",
    "mean_and_deviation",
    "moments_of",
    "widened",
]


LEAST_VARIANCE = 1e-4
"""Share of the mean variance that is added where a root is taken."""


@dataclass(frozen=True)
class Moments:
    """First and second moments of a layer's features, as sums over `count` positions.

    `sum` is (C,), `outer` is (C, C): the sum of every feature vector with itself.
    """

    count: int
    sum: Tensor
    outer: Tensor

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.sum + other.sum, self.outer + other.outer)


def blended(parts: Sequence[tuple[float, Moments]]) -> Moments:
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


def moments_of(features: Tensor) -> Moments:
    """Moments of a feature map, (1, C, h, w) -> (C,) and (C, C)."""
    vectors = widened(features).flatten(2).squeeze(0)  # (C, h*w)
    return Moments(vectors.shape[1], vectors.sum(dim=1), vectors @ vectors.T)


def widened(tensor: Tensor) -> Tensor:
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


def mean_and_deviation(moments: Moments) -> Tensor:
    """Mean and standard deviation of each channel, moments -> (2, C). Huang & Belongie 2017 (1703.06868), AdaIN's."""
    variance = covariance(moments).diagonal().clamp(min=0)
    # A root has no slope at 0, where channels are that nothing excites.
    return torch.stack([moments.sum / moments.count, (variance + LEAST_VARIANCE * variance.detach().mean()).sqrt()])


def gaussian(moments: Moments) -> Tensor:
    """Mean and root of the covariance, moments -> (C + 1, C): the Gaussian that a layer's features look like."""
    spread = covariance(moments)
    values, vectors = torch.linalg.eigh(doubled(spread))
    least = LEAST_VARIANCE * values.clamp(min=0).mean()
    root = (vectors * (values.clamp(min=0) + least).sqrt()) @ vectors.T
    return torch.cat([(moments.sum / moments.count)[None], root.to(spread)])


def doubled(tensor: Tensor) -> Tensor:
    """In float64, which roots of matrices need, where the device has it."""
    return tensor.to("cpu" if tensor.device.type == "mps" else tensor.device, torch.float64)
