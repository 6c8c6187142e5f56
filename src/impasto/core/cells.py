"""Cells: squares of 4 px, each described by the features of several layers at its place.

The features of all layers, one after another, are the hypercolumn of a cell (Kolkin et al. 2022, 2203.13215).

Laws: cells are counted row by row. Features are read a few rows at a time, so they may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.config.networks import Network
from impasto.config.wrap import Dims
from impasto.core.encoder import Features
from impasto.core.statistics import to_float32
from impasto.core.tensor_store import TensorStore

__all__ = ["CELL_PX", "COMPONENTS", "MIN_LENGTH", "Basis", "Cells", "Descriptions", "describe", "fit_basis"]

CELL_PX = 4
"""Side of a cell in pixels, or the stride of the finest layer if that is larger."""

COMPONENTS = 256
"""Dimensions that hypercolumns of thousands of channels are compared in."""

SAMPLES = 4096
"""Cells that these dimensions are chosen by."""

ROWS = 16
"""Rows of cells that are described at a time."""

POWER_ITERATIONS = 2

NOISE = 10
"""Rounding errors of a length, in units of the precision of the longest."""

MIN_LENGTH = 1e-12
"""Smallest length that is divided by, for layers that never fire and pictures of one color."""


@dataclass(frozen=True)
class Cells:
    """The cells of a picture, described by its features at some layers, on the device that computes.

    Along the dimensions `wrap` the edges of the picture meet.
    """

    features: Features
    network: Network
    store: TensorStore
    device: torch.device
    wrap: Dims = ()

    @cached_property
    def side_px(self) -> int:
        """The side of a cell in pixels."""
        return max(CELL_PX, min(map(self.network.stride, self.features)))

    @cached_property
    def shape(self) -> tuple[int, int]:
        """The number of rows and columns."""
        finest = min(self.features, key=self.network.stride)
        factor = self.side_px // self.network.stride(finest)
        height, width = (-(-side // factor) for side in self.features[finest].shape[2:])
        return height, width

    def __len__(self) -> int:
        return self.shape[0] * self.shape[1]

    def hypercolumns(self) -> Iterator[Tensor]:
        """Yield the hypercolumns (cells, C) of a few rows at a time."""
        for first in range(0, self.shape[0], ROWS):
            last = min(first + ROWS, self.shape[0])
            rows = [self._layer_rows(name, first, last).to(self.device) for name in self.features]
            yield torch.cat(rows).flatten(1).T

    def _layer_rows(self, name: str, first: int, last: int) -> Tensor:
        """Return a layer (C, rows, columns) at some rows of cells: averages, or interpolated where it is coarser."""
        features, stride = self.features[name], self.network.stride(name)
        height, width = features.shape[2:]
        if stride <= self.side_px:
            factor = self.side_px // stride
            used = features[:, :, min(first, (height - 1) // factor) * factor : last * factor]
            found = F.avg_pool2d(to_float32(used), factor, ceil_mode=True)[0]
            found = _take(_take(found, 1, last - first), 2, self.shape[1])
            self.store.release(used)
        else:
            values, scale = to_float32(features[0]), self.side_px / stride
            above, below, down = _between(first, last, scale, height, values, wraps=2 in self.wrap)
            left, right, across = _between(0, self.shape[1], scale, width, values, wraps=3 in self.wrap)
            rows = values[:, above].lerp(values[:, below], down[:, None])
            found = rows[:, :, left].lerp(rows[:, :, right], across)
            self.store.release(features)
        return found


def _take(values: Tensor, dim: int, count: int) -> Tensor:
    """Return the first `count` positions along a dimension, repeating the last one where there are fewer."""
    return values.index_select(dim, torch.arange(count, device=values.device).clamp(max=values.shape[dim] - 1))


def _between(
    first: int, last: int, scale: float, size: int, like: Tensor, *, wraps: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return for centers of cells the positions of a coarser layer on both sides, and the way from one to the other."""
    place = (torch.arange(first, last, device=like.device, dtype=like.dtype) + 0.5) * scale - 0.5
    if wraps:
        before = place.floor().long()
        return before % size, (before + 1) % size, place - before
    place = place.clamp(0, size - 1)
    before = place.long()
    return before, (before + 1).clamp(max=size - 1), place - before


@dataclass(frozen=True)
class Descriptions:
    """The hypercolumns of a picture's cells in few dimensions.

    `vectors` is (cells, components), `rest` the length of what they leave out, (cells,), and `shape` the rows and
    columns of cells. Along the dimensions `wrap` the edges of the picture meet.
    """

    vectors: Tensor
    rest: Tensor
    shape: tuple[int, int]
    wrap: Dims = ()


@dataclass(frozen=True)
class Basis:
    """The space that hypercolumns are compared in: a factor of each channel (C,), then an orthonormal basis.

    The basis is (C, components); None keeps all dimensions.
    """

    factors: Tensor
    directions: Tensor | None


def fit_basis(pictures: Sequence[Cells]) -> Basis:
    """Return the basis of the directions in which the cells of some pictures differ most. All layers count alike.

    A randomized range finder with power iterations on a sample of cells: Halko, Martinsson & Tropp 2011.
    """
    sample = torch.cat([_sample(cells, SAMPLES // len(pictures)) for cells in pictures])
    channels = [features.shape[1] for features in pictures[0].features.values()]
    factors = torch.cat([_factor(part) for part in torch.split(sample, channels, dim=1)])
    if sample.shape[1] <= COMPONENTS:
        return Basis(factors, None)
    sample *= factors
    random = torch.randn(sample.shape[1], COMPONENTS, generator=torch.Generator().manual_seed(0)).to(sample)
    directions: Tensor = torch.linalg.qr(random).Q
    for _ in range(POWER_ITERATIONS):
        directions, triangle = torch.linalg.qr(sample.T @ (sample @ directions))
    # Where cells are few or alike, the last directions are rounding errors, which differ from machine to machine.
    lengths = triangle.diagonal().abs()
    is_known = lengths > NOISE * torch.finfo(lengths.dtype).eps * lengths.max()
    is_known[0] = True
    return Basis(factors, directions[:, is_known])


def _factor(part: Tensor) -> Tensor:
    """Return the factor of each channel (C,) of one layer, from its part of a sample."""
    channels = part.shape[1]
    length = max(float(part.square().sum(dim=1).mean().sqrt()), MIN_LENGTH)
    return torch.full_like(part[0], (channels * length) ** -0.5)


def _sample(cells: Cells, count: int) -> Tensor:
    """Return hypercolumns of evenly spaced cells around their mean, about `count`."""
    step, first, samples = max(1, len(cells) // max(1, count)), 0, []
    for rows in cells.hypercolumns():
        samples.append(rows[-first % step :: step])
        first += len(rows)
    sample = torch.cat(samples)
    return sample - sample.mean(dim=0)


def describe(cells: Cells, basis: Basis) -> Descriptions:
    """Describe each cell of a picture in a basis."""
    total = torch.zeros(len(basis.factors), dtype=torch.float64)  # on the CPU, because not every device has float64
    for rows in cells.hypercolumns():
        total += rows.sum(dim=0).cpu()
    mean, vectors, rest = (total / len(cells)).to(basis.factors), [], []
    for rows in cells.hypercolumns():
        centered = (rows - mean) * basis.factors
        vectors.append(centered if basis.directions is None else centered @ basis.directions)
        rest.append((centered.square().sum(dim=1) - vectors[-1].square().sum(dim=1)).clamp_(min=0).sqrt_())
    return Descriptions(torch.cat(vectors), torch.cat(rest), cells.shape, cells.wrap)
