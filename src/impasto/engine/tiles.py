"""Tiles: parts of an image, each with the margin that makes its own features exact.

A tile covers a rectangle of the image, and a margin around it. It owns the positions of every layer that start in its
rectangle, so each position has one owner. Run through the network by itself, a tile gives its own features exactly
as the whole image does: the margin holds all pixels that they depend on, and rectangles are aligned to the network's
strides. Only own features take part in a loss. Their gradient reaches no further than the margin, and is added there
too (Galerne et al. 2022, 2212.13459, crop it instead, and need a larger margin). Where the edges of the image meet, a
margin goes on at the other edge.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.config.networks import Network
from impasto.config.wrap import Dims

__all__ = ["Tile", "alignment_px", "cut_tiles", "largest_tile_pixels", "margin_px", "precise_tile_px"]

LARGE_PIXELS = 1 << 20
"""Pixels from which a chain in float32 works in tiles where one in bfloat16 takes the whole image. At 2048 px the last
steps took 10.3 GB otherwise, and the others 5.1."""

SMALLEST_PX = 256
"""Tiles in float32 are not made smaller than this: their margins would take most of the time."""

PRECISE_PIXELS = 0.6
"""Pixels of the largest tile in float32, relative to the one in bfloat16 that takes about as much memory."""


@dataclass(frozen=True)
class Span:
    """The pixels of a tile along one side, without and with its margin.

    The margin may reach over an edge, and go on at the other. A tile that is `circular` is a whole side, whose edges
    meet without a margin.
    """

    start: int
    stop: int
    outer_start: int
    outer_stop: int
    circular: bool = False

    def pieces(self, side: int) -> Iterator[tuple[slice, slice]]:
        """Yield the pieces of the tile that are in one in the image: their place there, and in the tile."""
        first = self.outer_start
        while first < self.outer_stop:
            place = first % side
            count = min(side - place, self.outer_stop - first)
            yield slice(place, place + count), slice(first - self.outer_start, first - self.outer_start + count)
            first += count


@dataclass(frozen=True)
class Tile:
    """A rectangle with its margin, in an image of `height` by `width`."""

    network: Network
    height: int
    width: int
    rows: Span
    columns: Span

    @property
    def pixels(self) -> int:
        """The number of pixels with the margin."""
        return (self.rows.outer_stop - self.rows.outer_start) * (self.columns.outer_stop - self.columns.outer_start)

    @property
    def wrap(self) -> Dims:
        """The dimensions in which the edges of the tile itself meet."""
        return tuple(dim for dim, span in ((2, self.rows), (3, self.columns)) if span.circular)

    def crop(self, image: Tensor) -> Tensor:
        """Return the tile with its margin from an image (1, C, H, W): a view, if it is in one piece."""
        across = list(self.columns.pieces(self.width))
        rows = []
        for row, _ in self.rows.pieces(self.height):
            parts = [image[:, :, row, column] for column, _ in across]
            rows.append(parts[0] if len(parts) == 1 else torch.cat(parts, dim=3))
        return rows[0] if len(rows) == 1 else torch.cat(rows, dim=2)

    def add(self, part: Tensor, into: Tensor) -> None:
        """Add a tensor of the tile with its margin to one of the image, in place."""
        for row, own_row in self.rows.pieces(self.height):
            for column, own_column in self.columns.pieces(self.width):
                into[:, :, row, column] += part[:, :, own_row, own_column]

    def in_image(self, layer: str) -> tuple[slice, ...]:
        """Return the place of the tile's own features among those of the whole image, (1, C, h, w)."""
        stride = self.network.stride(layer)

        def side(span: Span, whole: int) -> slice:
            # Positions near the far edge may not exist, where a kernel would reach over it.
            last = self.network.output_px(layer, whole)
            start = min(span.start // stride, last)
            return slice(start, last if span.stop == whole else min(span.stop // stride, last))

        return slice(None), slice(None), side(self.rows, self.height), side(self.columns, self.width)

    def in_tile(self, layer: str) -> tuple[slice, ...]:
        """Return the place of the tile's own features among those of the tile with its margin."""
        stride = self.network.stride(layer)

        def shift(part: slice, span: Span) -> slice:
            return slice(part.start - span.outer_start // stride, part.stop - span.outer_start // stride)

        _, _, rows, columns = self.in_image(layer)
        return slice(None), slice(None), shift(rows, self.rows), shift(columns, self.columns)


def alignment_px(network: Network, layers: Iterable[str]) -> int:
    """Return the number that the corners of a tile must be multiples of."""
    return max(network.stride(layer) for layer in layers)


def margin_px(network: Network, layers: Iterable[str]) -> int:
    """Return the margin of a tile, a multiple of the alignment."""
    names = list(layers)
    step = alignment_px(network, names)
    return -(-max(_reach_px(network, layer) for layer in names) // step) * step


def _reach_px(network: Network, layer: str) -> int:
    """Return how far beyond an aligned rectangle its own positions at `layer` depend on pixels, at most."""
    first = last = 0
    for link in reversed(network.upto(layer)):
        first = first * link.stride - link.padding
        last = last * link.stride - link.padding + link.kernel - 1
    return max(-first, last - network.stride(layer) + 1)


def cut_tiles(
    network: Network, layers: Iterable[str], height: int, width: int, tile_px: int | None, wrap: Dims = ()
) -> list[Tile]:
    """Cut an image into tiles of about `tile_px` a side and of similar sizes; None: one tile.

    Its edges meet along the dimensions `wrap`, where a side must be a multiple of the alignment.
    """
    names = list(layers)
    step, margin = alignment_px(network, names), margin_px(network, names)

    def spans(size: int, *, wraps: bool) -> list[Span]:
        count = 1 if tile_px is None else max(1, -(-size // tile_px))
        edges = [round(i * size / count / step) * step for i in range(count)] + [size]
        parts = [(start, stop) for start, stop in itertools.pairwise(edges) if stop > start]
        if not wraps:
            return [Span(start, stop, max(0, start - margin), min(size, stop + margin)) for start, stop in parts]
        if size % step:
            raise ValueError(f"a side of {size} px cannot wrap: it must be a multiple of {step}")
        if len(parts) == 1:
            return [Span(0, size, 0, size, circular=True)]
        return [Span(start, stop, start - margin, stop + margin) for start, stop in parts]

    rows, columns = (spans(side, wraps=dim in wrap) for dim, side in ((2, height), (3, width)))
    return [Tile(network, height, width, row, column) for row in rows for column in columns]


def largest_tile_pixels(network: Network, layers: Iterable[str], height: int, width: int, tile_px: int | None) -> int:
    """Return the pixels, with its margin, of the largest tile that `cut_tiles` makes."""
    return max(tile.pixels for tile in cut_tiles(network, layers, height, width, tile_px))


def precise_tile_px(
    network: Network, layers: Iterable[str], height: int, width: int, tile_px: int | None
) -> int | None:
    """Return the side of tiles in float32 that take about as much memory as those of `tile_px` in bfloat16."""
    if tile_px is None and height * width < LARGE_PIXELS:
        return None
    names, longest = list(layers), min(tile_px or max(height, width), max(height, width))
    limit = PRECISE_PIXELS * largest_tile_pixels(network, names, height, width, tile_px)
    counts = range(1, max(2, longest // SMALLEST_PX + 1))
    sides = sorted({-(-side // count) for side in (height, width, longest) for count in counts}, reverse=True)
    fitting = (side for side in sides if side < longest)
    return next(
        (side for side in fitting if largest_tile_pixels(network, names, height, width, side) <= limit), tile_px
    )
