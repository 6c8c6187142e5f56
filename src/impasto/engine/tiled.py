"""Measuring with a chain, whole or in tiles: the same losses and gradient in as little memory as asked.

Style depends on a picture only through `Moments`, which are sums over positions, and content is a mean
over positions. So a picture of many tiles is measured in two passes: the first adds up moments and
content errors, whose `slopes` are found then; the second runs each tile again and carries them back at the
tile's own features. A picture of one tile needs one pass, and may be measured by its features themselves.

Laws: moments, errors and losses are at least float32, whatever the chain's precision; what is measured
for targets and reports is in the encoder's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from impasto.core import losses as loss
from impasto.core.encoder import Encoder, Features
from impasto.core.evaluate import Evaluation, Evaluator
from impasto.core.objective import Losses, Measurements, Objective, StyleMeasurement
from impasto.core.statistics import Moments, to_float32
from impasto.core.tensor_store import RamStore, TensorStore, zeros
from impasto.engine.allocation import give_back_freed_memory
from impasto.engine.backprop import ForwardCache, ManualBackprop
from impasto.engine.gradients import Gradients, compute_gradients
from impasto.engine.tile_targets import (
    TileStats,
    TileTargets,
    added,
    crop_features,
    crop_masks,
    make_injector,
    measure_tile,
    select_targets,
)
from impasto.engine.tiles import Tile, cut
from impasto.errors import ConfigError

__all__ = ["TiledEngine"]

LARGE = 1 << 19
"""Pixels from which memory that was freed is given back before each pass: at 1 MP gaps in it made the peak anything
from 3.0 to 4.0 GB. Smaller pictures keep it, for a step is quicker so."""


class TiledEngine:
    """An engine that convolves in `dtype` and takes pictures in blocks of about `block` px; 0: whole."""

    def __init__(
        self,
        encoder: Encoder,
        *,
        dtype: torch.dtype | None = None,
        winograd: int = 0,
        block: int = 0,
        store: TensorStore | None = None,
    ) -> None:
        self.encoder, self.block = encoder, block
        self.store: TensorStore = store or RamStore(encoder.device)
        self.exact = ManualBackprop(encoder, encoder.mean.dtype, winograd)
        self.main = self.exact if dtype in (None, encoder.mean.dtype) else ManualBackprop(encoder, dtype, winograd)

    def evaluator(self, objective: Objective, alpha: float) -> Evaluator:
        """The evaluator for most steps."""
        return lambda image: self._evaluate(self.main, objective, image, alpha)

    def precise_evaluator(self, objective: Objective, alpha: float) -> Evaluator | None:
        """The evaluator for the last steps, if it differs."""
        return None if self.main is self.exact else lambda image: self._evaluate(self.exact, objective, image, alpha)

    @torch.no_grad()
    def features(self, image: Tensor, layers: Iterable[str]) -> Features:
        """Features of the whole picture, kept in the store if it takes several tiles."""
        taps = frozenset(layers)
        portions = [TileTargets(tile, taps) for tile in self._tiles(image, taps)]
        if len(portions) == 1:
            return self.exact.forward(image, taps, keep=False).features
        found: Features = {}
        for portion, features in self._features(image, portions):
            for layer, own in features.items():
                if layer not in found:
                    found[layer] = self._channels_last(layer, image)
                found[layer][portion.tile.own(layer)] = own
                self.store.release(found[layer])
            del features, own  # before the next tile asks for as much
        return found

    @torch.no_grad()
    def moments(
        self, image: Tensor, layers: Iterable[str], masks: dict[str, Tensor] | None = None
    ) -> dict[str, tuple[Moments, ...]]:
        """Moments of each layer over the whole picture, or over each region."""
        taps = frozenset(layers)
        tiles = self._tiles(image, taps)
        portions = [TileTargets(tile, taps, style=taps, guides=crop_masks(tile, masks or {})) for tile in tiles]
        return added(self._surveys(self.exact, image, portions)).moments

    @torch.no_grad()
    def measure(self, objective: Objective, image: Tensor, alpha: float) -> Losses:
        """Losses without a gradient."""
        errors, style, _ = self._survey(self.exact, objective, image, self._portions(objective, image), keep=False)
        pixels = self._variation(objective, image), self._pooled(objective, image)
        return objective.combine(Measurements(errors, style, *pixels), alpha)

    @torch.no_grad()
    def _evaluate(self, chain: ManualBackprop, objective: Objective, image: Tensor, alpha: float) -> Evaluation:
        portions = self._portions(objective, image)
        errors, style, kept = self._survey(chain, objective, image, portions, keep=True)
        pixels = self._variation(objective, image), self._pooled(objective, image)
        losses, slopes = compute_gradients(objective, Measurements(errors, style, *pixels), alpha)
        if kept is not None:
            gradient = chain.backward(kept, make_injector(portions[0], slopes))
        else:
            gradient = zeros(self.store, image)
            for portion, part in self._gradients(chain, image, portions, slopes):
                gradient[portion.tile.window] += part
                self.store.release(gradient)
            give_back_freed_memory()  # descent has its own use for it
        if slopes.variation is not None and objective.config.tv_weight:
            self._variation(objective, image, into=gradient, slope=float(slopes.variation))
        if slopes.pooled is not None:
            self._spread(slopes.pooled, gradient)
        return Evaluation(losses, gradient)

    def _survey(
        self, chain: ManualBackprop, objective: Objective, image: Tensor, portions: list[TileTargets], *, keep: bool
    ) -> tuple[dict[str, Tensor], dict[str, tuple[StyleMeasurement, ...]], ForwardCache | None]:
        """Content errors and style over the whole picture, and the passage of its one tile if asked."""
        if len(portions) > 1:
            whole = added(self._surveys(chain, image, portions))
            return whole.errors, dict(whole.moments), None
        [(_, passage)] = self._passages(chain, image, portions, keep=keep)
        found = measure_tile(portions[0], passage.features)
        style: dict[str, tuple[StyleMeasurement, ...]] = dict(found.moments)
        if objective.style_loss.needs_features:
            style = {target.layer: (passage.features[target.layer],) for target in objective.style}
        return found.errors, style, passage if keep else None

    def _features(self, image: Tensor, portions: list[TileTargets]) -> Iterator[tuple[TileTargets, Features]]:
        """Each tile's own features, in their order."""
        for portion, passage in self._passages(self.exact, image, portions):
            yield portion, crop_features(portion, passage.features)
            del passage  # before the next tile asks for as much

    def _surveys(self, chain: ManualBackprop, image: Tensor, portions: list[TileTargets]) -> Iterator[TileStats]:
        """What each tile adds, in their order."""
        for portion, passage in self._passages(chain, image, portions):
            yield measure_tile(portion, passage.features)
            self.store.release(*portion.maps)
            del passage

    def _gradients(
        self, chain: ManualBackprop, image: Tensor, portions: list[TileTargets], slopes: Gradients
    ) -> Iterator[tuple[TileTargets, Tensor]]:
        """d(total) by each tile's pixels, in their order."""
        for portion, passage in self._passages(chain, image, portions, keep=True):
            yield portion, chain.backward(passage, make_injector(portion, slopes))
            self.store.release(*portion.maps)
            del passage

    def _passages(
        self, chain: ManualBackprop, image: Tensor, portions: list[TileTargets], *, keep: bool = False
    ) -> Iterator[tuple[TileTargets, ForwardCache]]:
        for portion in portions:
            # What the tile before left, and before the first what descent did; gaps in it are of no use here.
            if len(portions) > 1 or image.shape[2] * image.shape[3] >= LARGE:
                give_back_freed_memory()
            yield portion, chain.forward(image[portion.tile.window], portion.layers, keep=keep)
            self.store.release(image)

    def _portions(self, objective: Objective, image: Tensor) -> list[TileTargets]:
        tiles = self._tiles(image, objective.layers)
        if objective.style_loss.needs_features and len(tiles) > 1:
            raise ConfigError(
                f"style_loss = {objective.config.style_loss!r} looks at a whole picture, and this one is measured in "
                "blocks. Raise the memory, lower the size, or take another style_loss."
            )
        return [select_targets(objective, tile) for tile in tiles]

    def _tiles(self, image: Tensor, taps: frozenset[str]) -> list[Tile]:
        height, width = image.shape[2:]
        self.encoder.require_size(image, taps)
        return cut(self.encoder.network, taps, height, width, self.block)

    def _channels_last(self, layer: str, image: Tensor) -> Tensor:
        network = self.encoder.network
        height, width = (network.output_px(layer, side) for side in image.shape[2:])
        wide = torch.promote_types(image.dtype, torch.float32)
        return self.store.empty((1, height, width, network.channels(layer)), wide).permute(0, 3, 1, 2)

    def _variation(
        self, objective: Objective, image: Tensor, *, into: Tensor | None = None, slope: float = 0.0
    ) -> Tensor:
        """Total variation by strips of rows; `slope` times its gradient is added to `into`."""
        height, width = image.shape[2:]
        strip = height if self.block == 0 else max(1, self.block**2 // width)
        total, share = to_float32(image.new_zeros(())), objective.tv_scale(image)
        for top in range(0, height, strip):
            bottom = min(height, top + strip)
            with torch.set_grad_enabled(into is not None):
                rows = image[:, :, top : bottom + 1].detach().requires_grad_(into is not None)
                across = loss.variation(rows[:, :, : bottom - top], 3, objective.config.tv_norm)
                part = share * (across + loss.variation(rows, 2, objective.config.tv_norm))
            total += part.detach()
            if into is not None:
                (found,) = torch.autograd.grad(part, rows)
                into[:, :, top : bottom + 1].add_(found, alpha=slope)
                self.store.release(into)
            self.store.release(image)
        return total

    def _pooled(self, objective: Objective, image: Tensor) -> Tensor | None:
        return loss.pool_image(image, self.store) if objective.laplacian is not None else None

    def _spread(self, slope: Tensor, into: Tensor) -> None:
        """Add what is asked of the pooled image to the gradient of the pixels that it is the means of."""
        side = loss.LAPLACIAN_POOL
        for row in range(slope.shape[2]):
            part = (slope[:, :, row : row + 1] / side**2).repeat_interleave(side, dim=3)
            into[:, :, row * side : (row + 1) * side, : part.shape[3]] += part
        self.store.release(into)
