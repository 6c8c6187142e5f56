"""Self-similarity: content as the distances between places of one picture, whatever its colors and textures.

An object may change its look, as long as it stays as unlike its surroundings as it is in the photo. Kolkin, Salavon &
Shakhnarovich 2019 (1904.12785), section 2.2, draw places at random at each step. L-BFGS needs the same ones, and where
single positions are compared again and again, plain areas become a weave of their period. So a place is the average
of a cell, which leaves the strokes inside of it free.

Laws: an average is a weighted sum over positions, so features of tiles add up.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.core.statistics import to_float32

__all__ = ["MAX_PLACES", "Places", "choose_places", "distances", "self_similarity_loss"]

MAX_PLACES = 1024
"""Places of a layer, as many as the authors draw at a time. Time and memory grow with the square."""

MIN_LENGTH = 1e-6
"""Smallest length of a feature vector, and smallest mean distance, that is divided by."""


@dataclass(frozen=True)
class Places:
    """A grid of places: how much each row and each column of a layer's positions counts for them, (n, h) and (m, w)."""

    rows: Tensor
    columns: Tensor

    def crop(self, window: tuple[slice, ...]) -> Places:
        """Return the part in a window of (1, C, h, w)."""
        return Places(self.rows[:, window[2]], self.columns[:, window[3]])

    def to(self, device: torch.device) -> Places:
        """Return the same places on a device."""
        return Places(self.rows.to(device), self.columns.to(device))

    def take(self, features: Tensor) -> Tensor:
        """Return the features (n * m, C) of the places, from (1, C, h, w)."""
        positions = to_float32(features)[0]
        rows, columns = self.rows.to(positions.dtype), self.columns.to(positions.dtype)
        return (rows @ (positions @ columns.T)).flatten(1).T

    def add_gradient(self, total: Tensor, by_places: Tensor) -> None:
        """Add to the gradient by features (1, C, h, w) that by the result of `take`, in place."""
        rows, columns = self.rows.to(by_places.dtype), self.columns.to(by_places.dtype)
        grid = by_places.T.reshape(-1, len(rows), len(columns))
        total += (rows.T @ (grid @ columns)).to(total.dtype)


def choose_places(height: int, width: int) -> Places:
    """Divide a layer of some height and width into at most `MAX_PLACES` cells, as square as possible."""
    down = min(height, max(1, round((MAX_PLACES * height / width) ** 0.5)))
    across = min(width, MAX_PLACES // down)
    return Places(_averages(min(height, MAX_PLACES // across), height), _averages(across, width))


def _averages(count: int, size: int) -> Tensor:
    """Return how much each of `size` positions counts for each of `count` cells, (count, size)."""
    return F.adaptive_avg_pool1d(torch.eye(size), count).T.contiguous()


def distances(features: Tensor) -> Tensor:
    """Compute the cosine distances (n, n) between features (n, C), in units of each column's mean."""
    directions = F.normalize(to_float32(features), dim=1, eps=MIN_LENGTH)
    cosine_distances = (1 - directions @ directions.T).clamp(min=0)
    return cosine_distances / cosine_distances.mean(dim=0).clamp(min=MIN_LENGTH)


def self_similarity_loss(features: Tensor, target: Tensor) -> Tensor:
    """Compute the mean absolute difference between distances of features (n, C) and those of the content, (n, n).

    .1 means that distances are off by a tenth of their mean. It is 2 at most.
    """
    return (distances(features) - target).abs().mean()
