"""Nearest neighbors: each position of the target is to have the features of the most similar place of the paintings.

At the start of a scale each cell of the target is matched with a cell of the paintings, by the features of the content
and of the target so far. The features of the matched cells, put together, are a fixed target for each layer. They are
compared position by position, so an image can be measured in tiles. Kolkin et al. 2022 (2203.13215).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.core.cells import Cells
from impasto.core.statistics import to_float32
from impasto.core.tensor_store import TensorStore

__all__ = [
    "MIN_LENGTH",
    "NeighborTarget",
    "assemble",
    "content_share",
    "neighbor_distance",
]

EVEN_ALPHA = 20.0
"""The α at which content and target count alike in the query. At 5, the content has four fifths (three quarters in the
paper): more turns a cat into its painting's stars."""

MIN_LENGTH = 1e-6
"""Smallest length of a feature vector that is divided by: those of plain black are zero."""

ROWS = 64


@dataclass(frozen=True)
class NeighborTarget:
    """The features that each position of a layer is to have, as unit vectors (1, C, h, w) from `center` (C,).

    `weights` (h, w) is how much a position counts; None: all alike. `total` is their sum over the whole image.
    """

    directions: Tensor
    center: Tensor
    weights: Tensor | None
    total: float

    def crop(self, window: tuple[slice, ...]) -> NeighborTarget:
        """Return the part in a window of (1, C, h, w), as views. Distances of parts sum to that of the whole."""
        weights = None if self.weights is None else self.weights[window[2:]]
        return replace(self, directions=self.directions[window], weights=weights)

    def to(self, device: torch.device) -> NeighborTarget:
        """Return the same target on a device."""
        weights = None if self.weights is None else self.weights.to(device)
        return replace(self, directions=self.directions.to(device), center=self.center.to(device), weights=weights)


def content_share(alpha: float) -> float:
    """Return the share of the content in the query, from 1 without style to 0 with style alone."""
    return EVEN_ALPHA / (EVEN_ALPHA + alpha)


def assemble(
    layer: str, size: tuple[int, int], paintings: Sequence[Cells], matches: Tensor, store: TensorStore
) -> tuple[Tensor, Tensor]:
    """Put the features of the matched cells together, -> unit vectors (1, C, h, w) of `size`, and their center (C,).

    A position takes the feature at the same place inside of the matched cell. Where a layer is coarser than cells, it
    takes the average of those that are matched inside of it.
    """
    features = [painting.features[layer] for painting in paintings]
    center = torch.stack([_mean(values, store).to(matches.device) for values in features]).mean(dim=0)
    height, width = size
    directions = store.empty((1, height, width, len(center)), center.dtype).permute(0, 3, 1, 2)
    for first in range(0, height, ROWS):
        rows = directions[:, :, first : first + ROWS]
        found = _gather(layer, paintings, matches, torch.arange(first, first + rows.shape[2]), torch.arange(width))
        rows[0] = F.normalize(found - center, dim=-1, eps=MIN_LENGTH).permute(2, 0, 1)
        store.release(directions, *features)
    return directions, center


def _mean(features: Tensor, store: TensorStore) -> Tensor:
    """Compute the mean of each channel of features (1, C, h, w), a few rows at a time."""
    total = torch.zeros(features.shape[1], dtype=torch.float64)
    for rows in torch.split(features, ROWS, dim=2):
        total += rows.sum(dim=(0, 2, 3)).cpu()
        store.release(rows)
    return (total / (features.shape[2] * features.shape[3])).to(features)


def _gather(layer: str, paintings: Sequence[Cells], matches: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the matched features (rows, columns, C) of a layer at some positions of the target."""
    side_px, stride = paintings[0].side_px, paintings[0].network.stride(layer)
    inner, outer = max(1, side_px // stride), max(1, stride // side_px)  # positions in a cell, cells in a position
    total = None
    for down in range(outer):
        for across in range(outer):
            cells = _at(matches, rows // inner * outer + down, columns // inner * outer + across)
            found = _pick(layer, paintings, cells, (rows % inner, columns % inner), (inner, outer))
            total = found if total is None else total + found
    assert total is not None
    return total / outer**2


def _at(matches: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the matches (2, rows, columns) of some cells; those beyond the edge are the last ones."""
    rows, columns = rows.clamp(max=matches.shape[1] - 1), columns.clamp(max=matches.shape[2] - 1)
    return matches[:, rows][:, :, columns]


def _pick(
    layer: str, paintings: Sequence[Cells], cells: Tensor, inside: tuple[Tensor, Tensor], factors: tuple[int, int]
) -> Tensor:
    """Return the features (rows, columns, C) of a layer at matched cells, at a place inside of each."""
    (painting, cell), (inner, outer) = cells, factors
    result = None
    for number, candidates in enumerate(paintings):
        values, width = candidates.features[layer][0].permute(1, 2, 0), candidates.shape[1]
        down = torch.div(cell, width, rounding_mode="floor") // outer * inner + inside[0].to(cell.device)[:, None]
        across = cell % width // outer * inner + inside[1].to(cell.device)
        down, across = down.clamp(max=values.shape[0] - 1), across.clamp(max=values.shape[1] - 1)
        found = to_float32(values[down.to(values.device), across.to(values.device)]).to(cell.device)
        result = found if result is None else torch.where((painting == number)[..., None], found, result)
    assert result is not None
    return result


def neighbor_distance(features: Tensor, target: NeighborTarget) -> Tensor:
    """Compute the mean over positions of 1 − cosine between features (1, C, h, w) and their target, from 0 to 2."""
    directions = F.normalize(to_float32(features) - target.center[:, None, None], dim=1, eps=MIN_LENGTH)
    distance = 1 - (directions * target.directions).sum(dim=1)[0]
    return (distance if target.weights is None else distance * target.weights).sum() / target.total
