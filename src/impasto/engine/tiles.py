"""A picture cut into blocks, each with the margin that makes its own features exact.

A block owns the positions of every layer that start in it, so each position has one owner. A tile is a
block with its margin: run alone through the network it gives the block's own features exactly as the
whole picture would, because the margin holds all that they see, and blocks are aligned to the network's
strides. Only its own features take part in a loss; what flows back from them reaches no further than
the margin, and is added there too (Galerne et al. 2022, 2212.13459, crop instead, and need more margin).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from impasto.config.networks import Network

__all__ = ["Tile", "alignment", "cut", "margin"]


@dataclass(frozen=True)
class Span:
    """One side of a tile: the block's pixels, and those with the margin."""

    start: int
    stop: int
    first: int
    last: int


@dataclass(frozen=True)
class Tile:
    """A block and its margin, in a picture of `height` by `width`."""

    network: Network
    height: int
    width: int
    down: Span
    across: Span

    @property
    def window(self) -> tuple[slice, ...]:
        """Where the tile is in an image (1, 3, H, W)."""
        return (
            slice(None),
            slice(None),
            slice(self.down.first, self.down.last),
            slice(self.across.first, self.across.last),
        )

    def own(self, layer: str) -> tuple[slice, ...]:
        """Where the block's features are in those of the whole picture, (1, C, h, w)."""
        stride = self.network.stride(layer)

        def side(span: Span, whole: int) -> slice:
            # Positions near the far edge may not exist, where a kernel would reach over it.
            last = self.network.output_px(layer, whole)
            start = min(span.start // stride, last)
            return slice(start, last if span.stop == whole else min(span.stop // stride, last))

        return slice(None), slice(None), side(self.down, self.height), side(self.across, self.width)

    def inside(self, layer: str) -> tuple[slice, ...]:
        """Where the block's features are in those of the tile."""
        stride = self.network.stride(layer)

        def shifted(part: slice, span: Span) -> slice:
            return slice(part.start - span.first // stride, part.stop - span.first // stride)

        _, _, rows, columns = self.own(layer)
        return slice(None), slice(None), shifted(rows, self.down), shifted(columns, self.across)


def alignment(network: Network, layers: Iterable[str]) -> int:
    """What a block's corners must be multiples of."""
    return max(network.stride(layer) for layer in layers)


def margin(network: Network, layers: Iterable[str]) -> int:
    """Pixels around a block, a multiple of the alignment."""
    wanted = list(layers)
    step = alignment(network, wanted)
    return -(-max(reach(network, layer) for layer in wanted) // step) * step


def reach(network: Network, layer: str) -> int:
    """How many pixels around a block of pixels the block's own positions at `layer` see, at most.

    The block is aligned to the layer's stride, and owns the positions that start in it.
    """
    first = last = 0
    for link in reversed(network.upto(layer)):
        first = first * link.stride - link.padding
        last = last * link.stride - link.padding + link.kernel - 1
    return max(-first, last - network.stride(layer) + 1)


def cut(network: Network, layers: Iterable[str], height: int, width: int, block: int) -> list[Tile]:
    """Tiles of blocks of about `block` px a side, none much smaller than another; 0: one for the whole."""
    wanted = list(layers)
    step, around = alignment(network, wanted), margin(network, wanted)

    def spans(size: int) -> list[Span]:
        count = max(1, -(-size // block)) if block else 1
        edges = [round(i * size / count / step) * step for i in range(count)] + [size]
        return [
            Span(start, stop, max(0, start - around), min(size, stop + around))
            for start, stop in itertools.pairwise(edges)
            if stop > start
        ]

    return [Tile(network, height, width, down, across) for down in spans(height) for across in spans(width)]
