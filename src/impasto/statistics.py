"""What style is made of: moments of features, and the statistics made from them.

Laws: features are (1, C, h, w). Moments are accumulated in at least float32, whatever the features'
precision. They are sums over positions, so moments of parts add up to the moments of the whole, which
is what lets a picture be measured in tiles or on many machines. Position is gone after this module.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Moments", "gram_matrix", "moments_of", "widened"]


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
