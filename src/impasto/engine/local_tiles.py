"""Tile backends: where the tiles of an image are measured. This one does it in the own process.

Laws: results come in the order of the tiles, and are the same to the bit in every backend. Content errors and moments
are at least float32, whatever the precision of the convolutions. `precise` selects the encoder's own precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from impasto.core.encoder import Encoder, Features
from impasto.core.tensor_store import RamStore, TensorStore
from impasto.engine.allocation import trim_freed_memory
from impasto.engine.backprop import ForwardCache, ManualBackprop
from impasto.engine.gradients import Gradients
from impasto.engine.operations import choose_operations
from impasto.engine.tile_targets import TileStats, TileTargets, crop_features, make_injector, measure_tile

__all__ = ["LocalTiles", "TileBackend", "TileBackendFactory"]

LARGE_PX = 1 << 19
"""Pixels from which freed memory is returned before each pass, unless the plan has room for it. At 1 MP its gaps made
the peak vary from 3.0 to 4.0 GB. Smaller images keep it, which is faster."""


class TileBackend(Protocol):
    """Measures the tiles of an image (1, 3, H, W)."""

    def features(self, image: Tensor, tiles: Sequence[TileTargets]) -> Iterator[tuple[TileTargets, Features]]:
        """Yield the own features of each tile, precise."""

    def stats(self, image: Tensor, tiles: Sequence[TileTargets], *, precise: bool) -> Iterator[TileStats]:
        """Yield the content errors and moments of each tile."""

    def gradients(
        self, image: Tensor, tiles: Sequence[TileTargets], gradients: Gradients, *, precise: bool
    ) -> Iterator[tuple[TileTargets, Tensor]]:
        """Yield d(total)/d(pixels) of each tile with its margin. `stats` of the same image came before."""


class LocalTiles:
    """Measures tiles in this process, one after another."""

    def __init__(
        self,
        encoder: Encoder,
        *,
        dtype: torch.dtype | None = None,
        winograd_channels: int | None = None,
        kernels: str | None = None,
        store: TensorStore | None = None,
    ) -> None:
        self.encoder, exact = encoder, encoder.mean.dtype
        self.store: TensorStore = store or RamStore(encoder.device)
        self.float32_chain = ManualBackprop(encoder, choose_operations(exact, winograd_channels, kernels))
        self.fast_chain = self.float32_chain
        if dtype is not None and dtype is not exact:
            self.fast_chain = ManualBackprop(encoder, choose_operations(dtype, winograd_channels, kernels))

    def chain(self, *, precise: bool) -> ManualBackprop:
        """Return the network in the encoder's precision, or in the faster one."""
        return self.float32_chain if precise else self.fast_chain

    def features(self, image: Tensor, tiles: Sequence[TileTargets]) -> Iterator[tuple[TileTargets, Features]]:
        """Yield the own features of each tile."""
        for tile, forward in self.forward(image, tiles, precise=True):
            yield tile, crop_features(tile, forward.features)
            del forward  # before the next tile needs as much memory

    def stats(self, image: Tensor, tiles: Sequence[TileTargets], *, precise: bool) -> Iterator[TileStats]:
        """Yield the content errors and moments of each tile."""
        for tile, forward in self.forward(image, tiles, precise=precise):
            yield measure_tile(tile, forward.features, self.chain(precise=precise).operations)
            self.store.release(*tile.tensors)
            del forward

    def gradients(
        self,
        image: Tensor,
        tiles: Sequence[TileTargets],
        gradients: Gradients,
        *,
        precise: bool,
        slopes: Features | None = None,
    ) -> Iterator[tuple[TileTargets, Tensor]]:
        """Yield d(total)/d(pixels) of each tile with its margin; `slopes` are those by features of the whole image."""
        for tile, forward in self.forward(image, tiles, precise=precise, keep=True):
            chain = self.chain(precise=precise)
            yield tile, chain.backward(forward, make_injector(tile, gradients, chain.operations, slopes))
            self.store.release(*tile.tensors)
            del forward

    def forward(
        self, image: Tensor, tiles: Sequence[TileTargets], *, precise: bool, keep: bool = False
    ) -> Iterator[tuple[TileTargets, ForwardCache]]:
        """Yield the forward pass of each tile; with `keep`, what its backward pass needs too."""
        for tile in tiles:
            # Free what the tile before left, or the step before: memory in pieces is of no use here.
            if len(tiles) > 1 or image.shape[2] * image.shape[3] >= LARGE_PX:
                trim_freed_memory()
            pixels, device = tile.tile.crop(image), self.encoder.device  # a store on disk is not on the card
            chain = self.chain(precise=precise)
            yield tile.to(device), chain.forward(pixels.to(device), tile.layers, keep=keep, wrap=tile.tile.wrap)
            self.store.release(image)


TileBackendFactory = Callable[[LocalTiles], TileBackend]
"""Makes a backend that measures tiles elsewhere, and with these `LocalTiles` if it cannot."""
