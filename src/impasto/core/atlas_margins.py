"""The margins of a panorama's atlas: the network sees there what the neighboring charts have.

A margin pixel is not painted: it is looked up where the atlas has its direction, and its gradient goes to the pixels
that it was looked up from. So each direction is painted once, and strokes continue across the borders of charts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from impasto.core.evaluate import Evaluation, Evaluator
from impasto.core.panorama import Panorama, iter_pixels
from impasto.core.tensor_store import TensorStore, clone

__all__ = ["AtlasMargins"]

MIN_BLEND_PX = 1.5
"""Least half of the width in which two charts share directions, in pixels of a scale."""

EDGE_SHARE = 1 / 4
"""Width of the edges of the atlas that pass no gradient on, relative to the margin. In as much again it fades in. The
frame that networks paint at the edges of an image would show as a line around the sphere."""

NEAR_PX = 1e-3
"""Distance from a pixel's center below which a lookup takes that pixel alone."""


@dataclass(frozen=True, eq=False)
class Lookups:
    """The pixels of an atlas of one size that depend on others, and where these are looked up.

    `pixels` are those that depend on others. Of lookup i, `to[i]` is the pixel that it belongs to, `shares[0, i]` its
    share of the pixel `first[i]`, and `shares[1:, i]` those of the right, the lower and the lower right neighbor of
    that. Pixels are numbered row by row in `width` columns. `edges` are shares of the gradient by column and by row.
    """

    width: int
    pixels: Tensor
    to: Tensor
    first: Tensor
    shares: Tensor
    edges: tuple[Tensor, Tensor]

    def taps(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the four pixels that each lookup is mixed from, with their shares."""
        for offset, share in zip((0, 1, self.width, self.width + 1), self.shares, strict=True):
            yield self.first + offset, share


@dataclass(frozen=True)
class AtlasMargins:
    """The margins of an atlas: pixels that are not painted, but looked up in the charts that own them."""

    panorama: Panorama
    store: TensorStore

    def apply(self, painted: Tensor) -> Tensor:
        """Return the atlas with its margins looked up, in a new tensor."""
        atlas, lookups = clone(self.store, painted), self._lookups(painted)
        for flat, source in zip(atlas.flatten(2)[0], painted.flatten(2)[0], strict=True):  # a channel at a time
            flat[lookups.pixels] = 0
            mixed = [source[at] * share for at, share in lookups.taps()]
            _add_at(flat, lookups.to, torch.stack(mixed).sum(dim=0))
            self.store.release(atlas)
        return atlas

    def wrap(self, evaluate: Evaluator) -> Evaluator:
        """Evaluate the atlas with its margins, and pass their gradient on to the pixels they were looked up from.

        The gradient is exact but for the edges of the atlas.
        """

        def evaluate_with_margins(painted: Tensor) -> Evaluation:
            evaluation = evaluate(self.apply(painted))
            lookups = self._lookups(painted)
            gradient = evaluation.gradient.contiguous()
            for sides in lookups.edges:
                gradient.mul_(sides)
            for flat in gradient.flatten(2)[0]:
                passed = flat[lookups.to]
                flat[lookups.pixels] = 0
                for at, share in lookups.taps():
                    _add_at(flat, at, passed * share)
                self.store.release(gradient)
            return Evaluation(evaluation.losses, gradient)

        return evaluate_with_margins

    def _lookups(self, atlas: Tensor) -> Lookups:
        return _find_lookups(self.panorama, atlas.shape[2], atlas.shape[3], atlas.device)


@lru_cache(maxsize=4)
def _find_lookups(panorama: Panorama, height: int, width: int, device: torch.device) -> Lookups:
    """Find where the margins of the atlas of a panorama are looked up at this size."""
    full_height, full_width = panorama.atlas_size
    across, along = full_width / width, full_height / height
    parts, depends = [], torch.ones(height * width, dtype=torch.bool)
    for rows, columns, lines in iter_pixels(height, width, torch.device("cpu"), torch.float64):
        number = torch.arange(rows.start * width, rows.stop * width).view(columns.shape)
        for longitude, latitude, seen in panorama.directions(columns * across, lines * along):
            is_seen = seen > 0
            directions = longitude[is_seen], latitude[is_seen]
            for x, y, owned in panorama.positions(*directions, MIN_BLEND_PX * max(across, along)):
                share, to = owned * seen[is_seen], number[is_seen]
                used = share > 0
                first, shares = _find_taps(x[used] / across, y[used] / along, share[used], height, width)
                is_itself = (to[used] == first) & (shares[0] == 1)
                depends[first[is_itself]] = False
                parts.append((to[used][~is_itself], first[~is_itself], shares[:, ~is_itself]))
    to, first, shares = (torch.cat(part, dim=-1) for part in zip(*parts, strict=True))
    edge_px = EDGE_SHARE * panorama.margin_px
    edges = _fade(width, edge_px / across), _fade(height, edge_px / along)[:, None]
    return Lookups(
        width,
        pixels=depends.nonzero()[:, 0].to(device),
        to=to.to(device),
        first=first.to(device),
        shares=shares.to(device),
        edges=(edges[0].to(device), edges[1].to(device)),
    )


def _fade(count: int, edge_px: float) -> Tensor:
    """Return a row of shares that are 0 within `edge_px` of its ends, and 1 from twice that on."""
    center = torch.arange(count) + 0.5
    return (torch.minimum(center, count - center) / edge_px - 1).clamp(0, 1)


def _find_taps(x: Tensor, y: Tensor, share: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the upper left pixel of bilinear lookups, and the shares of the four pixels."""
    left, top = (_snap(at - 0.5) for at in (x, y))
    column, row = left.floor().clamp(0, width - 2), top.floor().clamp(0, height - 2)
    right, down = left - column, top - row
    shares = [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right]
    return row.long() * width + column.long(), (torch.stack(shares) * share).float()


def _snap(position: Tensor) -> Tensor:
    """Round positions that are nearly whole."""
    whole = position.round()
    return torch.where((position - whole).abs() < NEAR_PX, whole, position)


def _add_at(flat: Tensor, at: Tensor, values: Tensor) -> None:
    """Add values at repeated positions, in the same order each time."""
    if flat.device.type == "cpu":
        flat.index_add_(0, at, values)
    else:  # it sorts first; index_add_ on a card adds in any order
        flat.index_put_((at,), values, accumulate=True)
