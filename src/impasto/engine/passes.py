"""The passes of an evaluation: over an image as a whole, in tiles, or in tiles that are joined at a pooling.

The first layers of a network take most of its memory, and the others most of its time and margins. An image that is
joined runs through the first ones in tiles. Their poolings are put together, and the rest of the network takes them as
a whole: with margins of a few pixels, and without a second forward pass through most layers.

Laws: all three give the same measurements and gradients, up to the order of sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor

from impasto.config.networks import Network
from impasto.core.encoder import Features
from impasto.core.objective import Objective
from impasto.core.tensor_store import TensorStore, zeros
from impasto.engine.allocation import trim_freed_memory
from impasto.engine.backprop import ForwardCache, ManualBackprop
from impasto.engine.gradients import Gradients
from impasto.engine.local_tiles import LocalTiles, TileBackend
from impasto.engine.tile_targets import (
    TileStats,
    TileTargets,
    crop_features,
    make_injector,
    measure_tile,
    select_targets,
    sum_stats,
)
from impasto.engine.tiles import cut_tiles

__all__ = ["JoinedPasses", "JoinedTargets", "Passes", "TilePasses", "WholePass", "join_targets"]


class Passes(Protocol):
    """The passes of one evaluation of an image."""

    features: Features
    """Features of the whole image, once it is measured; empty if it is measured in tiles."""

    def measure(self, *, keep: bool) -> TileStats:
        """Measure the whole image; with `keep`, `gradient` can follow."""

    def gradient(self, gradients: Gradients) -> Tensor:
        """Compute d(total)/d(image), (1, 3, H, W), from those by the measurements."""


class WholePass:
    """One pass over an image of one tile, forward and back."""

    def __init__(self, local: LocalTiles, image: Tensor, targets: TileTargets, *, precise: bool) -> None:
        self.local, self.image, self.targets, self.precise = local, image, targets, precise
        self.features: Features = {}
        self._forward: ForwardCache | None = None

    def measure(self, *, keep: bool) -> TileStats:
        """Measure the image."""
        [(self.targets, forward)] = self.local.forward(self.image, [self.targets], precise=self.precise, keep=keep)
        self.features, self._forward = forward.features, forward if keep else None
        return measure_tile(self.targets, forward.features, self.local.chain(precise=self.precise).operations)

    def gradient(self, gradients: Gradients) -> Tensor:
        """Compute the gradient, with the forward pass of `measure`."""
        assert self._forward is not None
        chain, forward, self._forward = self.local.chain(precise=self.precise), self._forward, None
        return chain.backward(forward, make_injector(self.targets, gradients, chain.operations)).to(self.image.device)


class TilePasses:
    """Two passes over each tile: one for sums over the image, and one forward and back."""

    def __init__(
        self, backend: TileBackend, local: LocalTiles, image: Tensor, tiles: Sequence[TileTargets], *, precise: bool
    ) -> None:
        self.backend, self.store, self.image, self.tiles, self.precise = backend, local.store, image, tiles, precise
        self.features: Features = {}

    def measure(self, *, keep: bool) -> TileStats:
        """Measure the image."""
        return sum_stats(self.backend.stats(self.image, self.tiles, precise=self.precise))

    def gradient(self, gradients: Gradients) -> Tensor:
        """Compute the gradient by passing each tile again."""
        parts = self.backend.gradients(self.image, self.tiles, gradients, precise=self.precise)
        return _sum_gradients(parts, self.image, self.store)


@dataclass(frozen=True)
class JoinedTargets:
    """An objective for tiles down to the pooling `join`, and for the rest of the network as a whole."""

    join: str
    tiles: list[TileTargets]
    rest: TileTargets


def join_targets(objective: Objective, network: Network, image: Tensor, tile_px: int, join: str) -> JoinedTargets:
    """Divide an objective between tiles of the layers down to `join`, and the layers below it."""
    first = frozenset(layer.name for layer in network.upto(join))
    shallow, (height, width) = objective.layers & first, image.shape[2:]
    tiles = cut_tiles(network, shallow | {join}, height, width, tile_px, objective.wrap)
    [whole] = cut_tiles(network, objective.layers, height, width, None, objective.wrap)
    return JoinedTargets(
        join,
        [replace(select_targets(objective, tile, shallow), layers=shallow | {join}) for tile in tiles],
        select_targets(objective, whole, objective.layers - first),
    )


class JoinedPasses:
    """Two passes over each tile of the first layers, and one, forward and back, over the rest as a whole."""

    def __init__(self, local: LocalTiles, image: Tensor, targets: JoinedTargets, *, precise: bool) -> None:
        self.local, self.image, self.targets, self.precise = local, image, targets, precise
        self.features: Features = {}
        self._rest: ForwardCache | None = None

    @property
    def _chain(self) -> ManualBackprop:
        return self.local.chain(precise=self.precise)

    def measure(self, *, keep: bool) -> TileStats:
        """Measure the image, and join the tiles."""
        chain, device, join = self._chain, self.local.encoder.device, self.targets.join
        network, joined, stats = self.local.encoder.network, None, []
        for tile, forward in self.local.forward(self.image, self.targets.tiles, precise=self.precise):
            own = crop_features(tile, forward.features)[join]
            if joined is None:
                height, width = (network.output_px(join, side) for side in self.image.shape[2:])
                joined = own.new_empty((1, height, width, own.shape[1])).permute(0, 3, 1, 2)
            joined[tile.tile.in_image(join)] = own
            stats.append(measure_tile(tile, forward.features, chain.operations))
            self.local.store.release(*tile.tensors)
            del forward, own  # before the next tile needs as much memory
        assert joined is not None
        trim_freed_memory()
        rest = self.targets.rest.to(device)
        forward = chain.forward(joined, rest.layers, keep=keep, wrap=rest.tile.wrap, after=join)
        self._rest = forward if keep else None
        return sum_stats([*stats, measure_tile(rest, forward.features, chain.operations)])

    def gradient(self, gradients: Gradients) -> Tensor:
        """Compute the gradient of the rest, and carry it back through each tile."""
        assert self._rest is not None
        chain, forward, self._rest = self._chain, self._rest, None
        rest = self.targets.rest.to(self.local.encoder.device)
        slope = chain.backward(forward, make_injector(rest, gradients, chain.operations))
        del forward, rest
        parts = self.local.gradients(
            self.image, self.targets.tiles, gradients, precise=self.precise, slopes={self.targets.join: slope}
        )
        return _sum_gradients(parts, self.image, self.local.store)


def _sum_gradients(parts: Iterable[tuple[TileTargets, Tensor]], image: Tensor, store: TensorStore) -> Tensor:
    """Add the gradients of tiles with their margins to one of the image."""
    total = zeros(store, image)
    for tile, part in parts:
        tile.tile.add(part.to(total.device), into=total)
        store.release(total)
    trim_freed_memory()  # descent has its own use for it
    return total
