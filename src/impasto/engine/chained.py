"""Measuring with a chain, whole or in tiles: the same losses and gradient in as little memory as asked.

Style depends on a picture only through `Moments`, which are sums over positions, and content is a mean
over positions. So a picture of many tiles is measured in two passes: the first adds up moments and
content errors; autograd on those small numbers gives the slopes dL/d(sum), dL/d(outer), dL/d(error); the
second runs each tile again and carries the slopes back,

    dL/dF = dL/d(sum) + (dL/d(outer) + dL/d(outer)ᵀ) F + dL/d(error) d(error)/dF

at the tile's own features. A picture of one tile needs one pass.

Laws: moments, errors and losses are at least float32, whatever the chain's precision; what is measured
for targets and reports is in the encoder's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto import losses as loss
from impasto.encoder import Encoder, Features
from impasto.engine.allocation import give_back_freed_memory
from impasto.engine.chain import Chain, Passage, Pull
from impasto.engine.tiles import Tile, cut
from impasto.evaluate import Evaluation, Evaluator
from impasto.objective import Losses, Objective
from impasto.statistics import Moments, widened
from impasto.store import Memory, Store

__all__ = ["ChainedEngine"]

ROWS = 1 << 14
"""Positions worked on at a time, so that they stay in the cache."""


@dataclass(frozen=True)
class _Slopes:
    """d(total) by what was measured: content errors, moments, total variation."""

    errors: dict[str, Tensor | None]
    sums: dict[str, Tensor | None]
    outers: dict[str, Tensor | None]
    variation: Tensor | None


class ChainedEngine:
    """An engine that convolves in `dtype` and takes pictures in blocks of about `block` px; 0: whole."""

    def __init__(
        self,
        encoder: Encoder,
        *,
        dtype: torch.dtype | None = None,
        winograd: int = 0,
        block: int = 0,
        store: Store | None = None,
    ) -> None:
        self.encoder, self.block = encoder, block
        self.store: Store = store or Memory(encoder.device)
        self.exact = Chain(encoder, encoder.mean.dtype, winograd)
        self.main = self.exact if dtype in (None, encoder.mean.dtype) else Chain(encoder, dtype, winograd)

    def evaluator(self, objective: Objective) -> Evaluator:
        """The evaluator for most steps."""
        return lambda image: self._evaluate(self.main, objective, image)

    def refiner(self, objective: Objective) -> Evaluator | None:
        """The evaluator for the last steps, if it differs."""
        return None if self.main is self.exact else lambda image: self._evaluate(self.exact, objective, image)

    @torch.no_grad()
    def features(self, image: Tensor, layers: Iterable[str]) -> Features:
        """Features of the whole picture, kept in the store if it takes several tiles."""
        taps = frozenset(layers)
        tiles = self._tiles(image, taps)
        if len(tiles) == 1:
            return self.exact.forward(image, taps, keep=False).features
        found: Features = {}
        for tile, passage in self._passages(self.exact, image, tiles, taps):
            for layer, features in passage.features.items():
                if layer not in found:
                    found[layer] = self._channels_last(layer, image)
                found[layer][tile.own(layer)] = features[tile.inside(layer)]
                self.store.release(found[layer])
            del passage, features  # before the next tile asks for as much
        return found

    @torch.no_grad()
    def moments(self, image: Tensor, layers: Iterable[str]) -> dict[str, Moments]:
        """Moments of each layer over the whole picture."""
        taps = frozenset(layers)
        totals: dict[str, Moments] = {}
        for tile, passage in self._passages(self.exact, image, self._tiles(image, taps), taps):
            _add_moments(totals, tile, passage.features)
            del passage  # before the next tile asks for as much
        return totals

    @torch.no_grad()
    def measure(self, objective: Objective, image: Tensor) -> Losses:
        """Losses without a gradient."""
        tiles = self._tiles(image, objective.layers)
        errors, moments, _ = self._survey(self.exact, objective, image, tiles, keep=False)
        return objective.combine(errors, moments, self._variation(objective, image))

    @torch.no_grad()
    def _evaluate(self, chain: Chain, objective: Objective, image: Tensor) -> Evaluation:
        tiles = self._tiles(image, objective.layers)
        errors, moments, kept = self._survey(chain, objective, image, tiles, keep=len(tiles) == 1)
        losses, slopes = _slopes(objective, errors, moments, self._variation(objective, image))
        if kept is not None:
            gradient = chain.backward(kept, _pull(tiles[0], objective, slopes))
        else:
            gradient = self.store.empty(image.shape, image.dtype).zero_()
            for tile in tiles:
                passage = chain.forward(image[tile.window], objective.layers)
                gradient[tile.window] += chain.backward(passage, _pull(tile, objective, slopes))
                del passage
                self.store.release(image, gradient)
                give_back_freed_memory()
        if slopes.variation is not None and objective.tv_weight:
            self._variation(objective, image, into=gradient, slope=float(slopes.variation))
        return Evaluation(losses, gradient)

    def _survey(
        self, chain: Chain, objective: Objective, image: Tensor, tiles: list[Tile], *, keep: bool
    ) -> tuple[dict[str, Tensor], dict[str, Moments], Passage | None]:
        """Content errors and moments over the whole picture, and the passage of its one tile if asked."""
        wide = torch.promote_types(image.dtype, torch.float32)
        errors = {target.layer: torch.zeros((), dtype=wide, device=image.device) for target in objective.content}
        moments: dict[str, Moments] = {}
        style = {target.layer for target in objective.style}
        kept = None
        for tile, passage in self._passages(chain, image, tiles, objective.layers, keep=keep):
            for target in objective.content:
                seen, wanted = passage.features[target.layer][tile.inside(target.layer)], target.value
                part = wanted[tile.own(target.layer)]
                if part.numel():
                    share = part.numel() / wanted.numel()
                    errors[target.layer] += share * loss.content_loss(seen, part, scale=target.scale)
                self.store.release(wanted)
            _add_moments(moments, tile, {layer: passage.features[layer] for layer in style})
            kept = passage if keep else None
            del passage, seen  # before the next tile asks for as much
        return errors, moments, kept

    def _passages(
        self, chain: Chain, image: Tensor, tiles: list[Tile], taps: frozenset[str], *, keep: bool = False
    ) -> Iterator[tuple[Tile, Passage]]:
        for tile in tiles:
            yield tile, chain.forward(image[tile.window], taps, keep=keep)
            self.store.release(image)
            if len(tiles) > 1:
                give_back_freed_memory()

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
        total, share = widened(image.new_zeros(())), objective.tv_share(image)
        for top in range(0, height, strip):
            bottom = min(height, top + strip)
            with torch.set_grad_enabled(into is not None):
                rows = image[:, :, top : bottom + 1].detach().requires_grad_(into is not None)
                across = loss.variation(rows[:, :, : bottom - top], 3, objective.tv_norm)
                part = share * (across + loss.variation(rows, 2, objective.tv_norm))
            total += part.detach()
            if into is not None:
                (found,) = torch.autograd.grad(part, rows)
                into[:, :, top : bottom + 1].add_(found, alpha=slope)
                self.store.release(into)
            self.store.release(image)
        return total


def _slopes(
    objective: Objective, errors: dict[str, Tensor], moments: dict[str, Moments], variation: Tensor
) -> tuple[Losses, _Slopes]:
    """Losses, and how the total changes with everything that was measured."""
    with torch.enable_grad():
        content = {layer: error.requires_grad_() for layer, error in errors.items()}
        leaves = {
            layer: Moments(m.count, m.sum.requires_grad_(), m.outer.requires_grad_()) for layer, m in moments.items()
        }
        pixels = variation.requires_grad_()
        losses = objective.combine(content, leaves, pixels)
        sums = {layer: m.sum for layer, m in leaves.items()}
        outers = {layer: m.outer for layer, m in leaves.items()}
        asked = [*content.values(), *sums.values(), *outers.values(), pixels]
        found: Iterator[Tensor | None] = iter(torch.autograd.grad(losses.total, asked, allow_unused=True))
    by_error, by_sum, by_outer = ({layer: next(found) for layer in group} for group in (content, sums, outers))
    return losses.detach(), _Slopes(by_error, by_sum, by_outer, next(found))


def _pull(tile: Tile, objective: Objective, slopes: _Slopes) -> Pull:
    """What the losses ask of a tile's features: added at its own, nothing in the margin."""
    content = {target.layer: target for target in objective.content}

    def pull(layer: str, gradient: Tensor | None, features: Tensor) -> Tensor:
        total = torch.zeros_like(features) if gradient is None else gradient
        own, seen = total[tile.inside(layer)], features[tile.inside(layer)]
        if seen.numel() == 0:
            return total
        slope = slopes.errors.get(layer)
        if slope is not None:
            target = content[layer]
            part = target.value[tile.own(layer)]
            with torch.enable_grad():
                wide = widened(seen.detach()).requires_grad_()
                error = loss.content_loss(wide, part, scale=target.scale) * (part.numel() / target.value.numel())
                (found,) = torch.autograd.grad(error, wide, slope)
            own += found
        outer, mean = slopes.outers.get(layer), slopes.sums.get(layer)
        if outer is not None:
            symmetric = (outer + outer.T).to(total.dtype)
            for into, rows in zip(_strips(own), _strips(seen), strict=True):
                into += (rows.reshape(-1, rows.shape[2]) @ symmetric).view_as(into)
        if mean is not None:
            own += mean.view(1, -1, 1, 1)
        return total

    return pull


def _strips(features: Tensor) -> Iterator[Tensor]:
    """A channels-last (1, C, h, w) as views (rows, w, C) of about `ROWS` positions."""
    rows = features.permute(0, 2, 3, 1)[0]
    step = max(1, ROWS // max(1, rows.shape[1]))
    for first in range(0, rows.shape[0], step):
        yield rows[first : first + step]


def _add_moments(totals: dict[str, Moments], tile: Tile, features: Features) -> None:
    """Add the moments of a tile's own features to `totals`."""
    for layer, values in features.items():
        own = values[tile.inside(layer)]
        channels, wide = own.shape[1], torch.promote_types(own.dtype, torch.float32)
        mean, outer = own.new_zeros(channels, dtype=wide), own.new_zeros(channels, channels, dtype=wide)
        for strip in _strips(own):
            rows = strip.reshape(-1, channels).to(wide)
            mean += rows.sum(dim=0)
            outer.addmm_(rows.T, rows)
        part = Moments(own.shape[2] * own.shape[3], mean, outer)
        totals[layer] = totals[layer] + part if layer in totals else part
