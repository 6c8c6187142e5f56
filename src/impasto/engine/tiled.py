"""The tiled engine: the losses and gradient of autograd, in as little memory as asked.

Style depends on an image only through `Moments`, which are sums over positions; content is a mean over positions. So
an image of several tiles is measured in two passes. The first sums moments and content errors, which gives the gradient
of the total by each. The second runs each tile again, and carries these gradients back to its pixels. Tiles that are
joined at a pooling do so down to there only (`passes`). An image of one tile needs one pass, and may be compared by its
features themselves.

Laws: content errors, moments and losses are at least float32, whatever the precision of the convolutions. Targets and
reported losses are measured in the encoder's own precision.
"""

from __future__ import annotations

import contextlib
import logging
import weakref
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor

from impasto.config.style_losses import can_record
from impasto.config.wrap import Dims
from impasto.core import losses as loss
from impasto.core.encoder import Encoder, Features
from impasto.core.evaluate import Evaluation, Evaluator
from impasto.core.objective import Losses, Measurements, Objective, StyleMeasurement
from impasto.core.statistics import Moments, to_float32
from impasto.core.tensor_store import TensorStore
from impasto.engine.cuda_graphs import RecordedEvaluator
from impasto.engine.gradients import compute_gradients
from impasto.engine.joining import poolings, precise_join
from impasto.engine.local_tiles import LocalTiles, TileBackend, TileBackendFactory
from impasto.engine.memory import MIN_TILE_PX
from impasto.engine.passes import JoinedPasses, JoinedTargets, Passes, TilePasses, WholePass, join_targets
from impasto.engine.tile_targets import TileTargets, crop_masks, select_targets, sum_stats
from impasto.engine.tiles import Tile, cut_tiles, precise_tile_px
from impasto.engine.torch_state import tf32_convolutions
from impasto.errors import ConfigError

__all__ = ["TiledEngine"]

logger = logging.getLogger("impasto")

Result = TypeVar("Result")

Layout = tuple[int | None, str | None]
"""The side of the tiles, and the pooling at which they are joined."""


class TiledEngine:
    """An engine that convolves in `dtype`, and cuts images into tiles of about `tile_px`; None: whole.

    With `join`, evaluations put the tiles together at that pooling (`JoinedPasses`).
    In the encoder's own precision, large images are cut into smaller tiles, so that these take no more memory.
    `tile_backend` measures the tiles of images that have several; by default this process does.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        dtype: torch.dtype | None = None,
        winograd_channels: int | None = None,
        kernels: str | None = None,
        tile_px: int | None = None,
        join: str | None = None,
        store: TensorStore | None = None,
        tile_backend: TileBackendFactory | None = None,
    ) -> None:
        self.encoder, self.tile_px, self.join = encoder, tile_px, join
        self.local = LocalTiles(encoder, dtype=dtype, winograd_channels=winograd_channels, kernels=kernels, store=store)
        self.backend: TileBackend = tile_backend(self.local) if tile_backend else self.local
        self.store = self.local.store
        self._selected: dict[Layout, tuple[weakref.ref[Objective], list[TileTargets] | JoinedTargets]] = {}

    def evaluator(self, objective: Objective, alpha: float) -> Evaluator:
        """Return the evaluator for most steps."""
        return self._evaluator(objective, lambda image: self._evaluate(objective, image, alpha, precise=False))

    def precise_evaluator(self, objective: Objective, alpha: float) -> Evaluator | None:
        """Return the evaluator for the last steps, if it differs."""
        if self.local.fast_chain is self.local.float32_chain:
            return None

        def evaluate(image: Tensor) -> Evaluation:
            with tf32_convolutions():  # on a card; float32 proper is ten times slower there
                return self._evaluate(objective, image, alpha, precise=True)

        return self._evaluator(objective, evaluate)

    def _evaluator(self, objective: Objective, evaluate: Evaluator) -> Evaluator:
        """Return an evaluator that stays within memory, and repeats a recording on a CUDA card where it can."""

        def evaluate_within_memory(image: Tensor) -> Evaluation:
            return self._within_memory(lambda: evaluate(image), image)

        is_cuda = self.encoder.device.type == "cuda"
        if is_cuda and self.tile_px is None and can_record(objective.config.style_loss):
            return RecordedEvaluator(evaluate_within_memory, evaluate)
        return evaluate_within_memory

    def _within_memory(self, measure: Callable[[], Result], image: Tensor) -> Result:
        """Measure an image, in ever smaller tiles while a card runs out of memory. Raises `ConfigError`."""
        while True:
            with contextlib.suppress(torch.OutOfMemoryError):
                return measure()
            self.tile_px = self.tile_px or max(image.shape[2:])
            if self.tile_px <= MIN_TILE_PX:
                raise ConfigError("The memory of the card is full. Lower --size, close other programs, or use the CPU.")
            self.tile_px, self.join = max(MIN_TILE_PX, self.tile_px // 2), None
            self._forget()
            torch.cuda.empty_cache()
            logger.warning("The memory of the card is full. Continuing in tiles of %d px.", self.tile_px)

    @torch.no_grad()
    def features(self, image: Tensor, layers: Iterable[str], wrap: Dims = ()) -> Features:
        """Compute features of the whole image, kept in the store if it takes several tiles."""
        return self._within_memory(lambda: self._features(image, frozenset(layers), wrap), image)

    def _features(self, image: Tensor, taps: frozenset[str], wrap: Dims) -> Features:
        tiles = [
            TileTargets(tile, taps) for tile in self._cut(image, taps, self._tile_px(image, taps, precise=True), wrap)
        ]
        if len(tiles) == 1:
            return self.local.float32_chain.forward(image.to(self.encoder.device), taps, keep=False, wrap=wrap).features
        whole: Features = {}
        for tile, features in self.backend.features(image, tiles):
            for layer, own in features.items():
                if layer not in whole:
                    whole[layer] = self._allocate(layer, image)
                whole[layer][tile.tile.in_image(layer)] = own
                self.store.release(whole[layer])
            del features, own  # before the next tile needs as much memory
        return whole

    @torch.no_grad()
    def moments(
        self, image: Tensor, layers: Iterable[str], masks: dict[str, Tensor] | None = None
    ) -> dict[str, tuple[Moments, ...]]:
        """Compute moments of each layer, of the whole image or of each region."""
        return self._within_memory(lambda: self._moments(image, frozenset(layers), masks or {}), image)

    def _moments(self, image: Tensor, taps: frozenset[str], masks: dict[str, Tensor]) -> dict[str, tuple[Moments, ...]]:
        tile_px = self._tile_px(image, taps, precise=True)
        tiles = [
            TileTargets(tile, taps, style_layers=taps, masks=crop_masks(tile, masks))
            for tile in self._cut(image, taps, tile_px)
        ]
        return sum_stats(self._backend_for(tiles).stats(image, tiles, precise=True)).moments

    @torch.no_grad()
    def measure(self, objective: Objective, image: Tensor, alpha: float) -> Losses:
        """Compute losses without a gradient."""

        def measure() -> Losses:
            passes = self._passes(objective, image, precise=True)
            return objective.combine(self._measure(objective, image, passes, keep=False), alpha)

        return self._within_memory(measure, image)

    @torch.no_grad()
    def _evaluate(self, objective: Objective, image: Tensor, alpha: float, *, precise: bool) -> Evaluation:
        passes = self._passes(objective, image, precise=precise)
        losses, gradients = compute_gradients(objective, self._measure(objective, image, passes, keep=True), alpha)
        gradient = passes.gradient(gradients)
        if gradients.variation is not None and objective.config.tv_weight:
            self._variation(objective, image, into=gradient, slope=gradients.variation.to(image.device))
        if gradients.pooled is not None:
            self._add_unpooled(gradients.pooled, gradient)
        return Evaluation(losses, gradient)

    def _measure(self, objective: Objective, image: Tensor, passes: Passes, *, keep: bool) -> Measurements:
        """Measure the whole image; with `keep`, for a gradient."""
        total = passes.measure(keep=keep)
        style: dict[str, tuple[StyleMeasurement, ...]] = dict(total.moments)
        style |= {layer: (distance,) for layer, distance in total.distances.items()}
        if objective.needs_features:
            style = {target.layer: (passes.features[target.layer],) for target in objective.style}
        device = self.encoder.device
        pooled = loss.pool_image(image, self.store).to(device) if objective.laplacian is not None else None
        return Measurements(total.content, style, self._variation(objective, image).to(device), pooled)

    def _backend_for(self, tiles: list[TileTargets]) -> TileBackend:
        """Return the backend; an image of one tile is measured here."""
        return self.backend if len(tiles) > 1 else self.local

    def _passes(self, objective: Objective, image: Tensor, *, precise: bool) -> Passes:
        """Return the passes for one evaluation of an image."""
        targets = self._select(objective, image, precise=precise)
        if isinstance(targets, JoinedTargets):
            return JoinedPasses(self.local, image, targets, precise=precise)
        if len(targets) == 1:
            return WholePass(self.local, image, targets[0], precise=precise)
        return TilePasses(self.backend, self.local, image, targets, precise=precise)

    def _select(self, objective: Objective, image: Tensor, *, precise: bool) -> list[TileTargets] | JoinedTargets:
        """Return the tiles of an objective, always in the same list: a backend may have sent them already."""
        precise = precise and not objective.needs_features
        tile_px = self._tile_px(image, objective.layers, precise=precise)
        join = self._join(objective.layers, precise=precise)
        reference, targets = self._selected.get((tile_px, join), (None, []))
        if reference is None or reference() is not objective:
            cut = self._cut(image, objective.layers, tile_px, objective.wrap)
            if objective.needs_features and len(cut) > 1:
                raise ConfigError(
                    f"style_loss = {objective.config.style_loss!r} needs the whole image, and this one is measured in "
                    "tiles. Raise --memory, lower --size, or use another style loss."
                )
            if len(cut) > 1 and tile_px is not None and join is not None:
                targets = join_targets(objective, self.encoder.network, image, tile_px, join)
            else:
                targets = [select_targets(objective, tile) for tile in cut]
            self._selected[tile_px, join] = weakref.ref(objective, self._forget), targets
        return targets

    def _forget(self, _: weakref.ref[Objective] | None = None) -> None:
        """Free the tiles together with their objective."""
        self._selected = {}

    def _tile_px(self, image: Tensor, taps: frozenset[str], *, precise: bool) -> int | None:
        """Return the side of the tiles, which is smaller where the encoder's own precision takes more memory."""
        if self._takes_more(precise=precise):
            height, width = image.shape[2:]
            return precise_tile_px(self.encoder.network, taps, height, width, self.tile_px)
        return self.tile_px

    def _join(self, taps: frozenset[str], *, precise: bool) -> str | None:
        """Return the pooling at which tiles are joined, which is deeper where more memory is taken."""
        network = self.encoder.network
        join = self.join if self.join in poolings(network, taps) else None
        if self._takes_more(precise=precise) and (join is not None or self.tile_px is None):
            return precise_join(network, taps, join)
        return join

    def _takes_more(self, *, precise: bool) -> bool:
        """Return True if the encoder's own precision is asked for, and takes more memory."""
        is_other = precise and self.local.fast_chain is not self.local.float32_chain
        return is_other and self.encoder.device.type == "cpu"

    def _cut(self, image: Tensor, taps: frozenset[str], tile_px: int | None, wrap: Dims = ()) -> list[Tile]:
        height, width = image.shape[2:]
        self.encoder.require_size(image, taps)
        return cut_tiles(self.encoder.network, taps, height, width, tile_px, wrap)

    def _allocate(self, layer: str, image: Tensor) -> Tensor:
        """Allocate the features of a layer, channels-last."""
        network = self.encoder.network
        height, width = (network.output_px(layer, side) for side in image.shape[2:])
        wide = torch.promote_types(image.dtype, torch.float32)
        return self.store.empty((1, height, width, network.channels(layer)), wide).permute(0, 3, 1, 2)

    def _variation(
        self, objective: Objective, image: Tensor, *, into: Tensor | None = None, slope: Tensor | None = None
    ) -> Tensor:
        """Compute total variation a few rows at a time, and add `slope` times its gradient to `into`."""
        height, width = image.shape[2:]
        step = height if self.tile_px is None else max(1, self.tile_px**2 // width)
        total, scale, norm = to_float32(image.new_zeros(())), objective.tv_scale(image), objective.config.tv_norm
        for top in range(0, height, step):
            bottom, last = min(height, top + step), min(height, top + step + 1)
            wraps = bottom == height and 2 in objective.wrap
            with torch.set_grad_enabled(into is not None):
                rows = image[:, :, top:last]
                rows = torch.cat([rows, image[:, :, :1]], dim=2) if wraps else rows
                rows = rows.detach().requires_grad_(into is not None)
                across = loss.variation(rows[:, :, : bottom - top], 3, norm, wraps=3 in objective.wrap)
                part = scale * (across + loss.variation(rows, 2, norm))
            total += part.detach()
            if into is not None and slope is not None:
                (gradient,) = torch.autograd.grad(part, rows)
                gradient *= slope
                into[:, :, top:last] += gradient[:, :, : last - top]
                if wraps:
                    into[:, :, :1] += gradient[:, :, -1:]
                self.store.release(into)
            self.store.release(image)
        return total

    def _add_unpooled(self, gradient: Tensor, into: Tensor) -> None:
        """Add the gradient by the pooled image to the gradient by the pixels that it averages."""
        side = loss.LAPLACIAN_POOL
        for row in range(gradient.shape[2]):
            part = (gradient[:, :, row : row + 1] / side**2).repeat_interleave(side, dim=3)
            into[:, :, row * side : (row + 1) * side, : part.shape[3]] += part.to(into.device)
        self.store.release(into)
