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

from impasto import losses as loss
from impasto.encoder import Encoder, Features
from impasto.engine.allocation import give_back_freed_memory
from impasto.engine.chain import Chain, Passage
from impasto.engine.slopes import add_moments, pull_of, slopes_of
from impasto.engine.tiles import Tile, cut
from impasto.errors import ConfigError
from impasto.evaluate import Evaluation, Evaluator
from impasto.objective import Losses, Measured, Objective
from impasto.statistics import Moments, widened
from impasto.store import Memory, Store, zeros

__all__ = ["ChainedEngine"]

LARGE = 1 << 19
"""Pixels from which memory that was freed is given back before each pass: at 1 MP gaps in it made the peak anything
from 3.0 to 4.0 GB. Smaller pictures keep it, for a step is quicker so."""


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
    def moments(
        self, image: Tensor, layers: Iterable[str], guides: dict[str, Tensor] | None = None
    ) -> dict[str, tuple[Moments, ...]]:
        """Moments of each layer over the whole picture, or over each region."""
        taps = frozenset(layers)
        totals: dict[str, tuple[Moments, ...]] = {}
        for tile, passage in self._passages(self.exact, image, self._tiles(image, taps), taps):
            add_moments(totals, tile, passage.features, guides or {})
            self.store.release(*(guides or {}).values())
            del passage  # before the next tile asks for as much
        return totals

    @torch.no_grad()
    def measure(self, objective: Objective, image: Tensor) -> Losses:
        """Losses without a gradient."""
        tiles = self._tiles(image, objective.layers)
        errors, style, _ = self._survey(self.exact, objective, image, tiles, keep=False)
        return objective.combine(errors, style, self._variation(objective, image), self._pooled(objective, image))

    @torch.no_grad()
    def _evaluate(self, chain: Chain, objective: Objective, image: Tensor) -> Evaluation:
        tiles = self._tiles(image, objective.layers)
        errors, style, kept = self._survey(chain, objective, image, tiles, keep=len(tiles) == 1)
        pixels = self._variation(objective, image), self._pooled(objective, image)
        losses, slopes = slopes_of(objective, errors, style, *pixels)
        if kept is not None:
            gradient = chain.backward(kept, pull_of(tiles[0], objective, slopes))
        else:
            gradient = zeros(self.store, image)
            for tile in tiles:
                give_back_freed_memory()
                passage = chain.forward(image[tile.window], objective.layers)
                gradient[tile.window] += chain.backward(passage, pull_of(tile, objective, slopes))
                del passage
                self.store.release(image, gradient, *objective.maps)
            give_back_freed_memory()  # descent has its own use for it
        if slopes.variation is not None and objective.config.tv_weight:
            self._variation(objective, image, into=gradient, slope=float(slopes.variation))
        if slopes.pooled is not None:
            self._spread(slopes.pooled, gradient)
        return Evaluation(losses, gradient)

    def _survey(
        self, chain: Chain, objective: Objective, image: Tensor, tiles: list[Tile], *, keep: bool
    ) -> tuple[dict[str, Tensor], dict[str, tuple[Measured, ...]], Passage | None]:
        """Content errors and style over the whole picture, and the passage of its one tile if asked."""
        wide = torch.promote_types(image.dtype, torch.float32)
        errors = {target.layer: torch.zeros(2, dtype=wide, device=image.device) for target in objective.content}
        moments: dict[str, tuple[Moments, ...]] = {}
        features: Features = {}
        style = {target.layer for target in objective.style}
        if objective.style_loss.of_features and len(tiles) > 1:
            raise ConfigError(
                f"style_loss = {objective.config.style_loss!r} looks at a whole picture, and this one is measured in "
                "blocks. Raise the memory, lower the size, or take another style_loss."
            )
        kept = None
        for tile, passage in self._passages(chain, image, tiles, objective.layers, keep=keep):
            for target in objective.content:
                seen, wanted = passage.features[target.layer][tile.inside(target.layer)], target.value
                part = wanted[tile.own(target.layer)]
                if part.numel():
                    share = part.numel() / wanted.numel()
                    errors[target.layer] += share * loss.content_error(seen, part)
            tapped = {layer: passage.features[layer] for layer in style}
            if objective.style_loss.of_features:
                features = tapped
            else:
                add_moments(moments, tile, tapped, objective.guides)
            self.store.release(*objective.maps)
            kept = passage if keep else None
            del passage, seen, tapped  # before the next tile asks for as much
        measured: dict[str, tuple[Measured, ...]] = dict(moments)
        return errors, measured | {layer: (values,) for layer, values in features.items()}, kept

    def _passages(
        self, chain: Chain, image: Tensor, tiles: list[Tile], taps: frozenset[str], *, keep: bool = False
    ) -> Iterator[tuple[Tile, Passage]]:
        for tile in tiles:
            # What the tile before left, and before the first what descent did; gaps in it are of no use here.
            if len(tiles) > 1 or image.shape[2] * image.shape[3] >= LARGE:
                give_back_freed_memory()
            yield tile, chain.forward(image[tile.window], taps, keep=keep)
            self.store.release(image)

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
                across = loss.variation(rows[:, :, : bottom - top], 3, objective.config.tv)
                part = share * (across + loss.variation(rows, 2, objective.config.tv))
            total += part.detach()
            if into is not None:
                (found,) = torch.autograd.grad(part, rows)
                into[:, :, top : bottom + 1].add_(found, alpha=slope)
                self.store.release(into)
            self.store.release(image)
        return total

    def _pooled(self, objective: Objective, image: Tensor) -> Tensor | None:
        return loss.pooled(image, self.store) if objective.laplacian is not None else None

    def _spread(self, slope: Tensor, into: Tensor) -> None:
        """Add what is asked of the pooled image to the gradient of the pixels that it is the means of."""
        side = loss.LAPLACIAN_POOL
        for row in range(slope.shape[2]):
            part = (slope[:, :, row : row + 1] / side**2).repeat_interleave(side, dim=3)
            into[:, :, row * side : (row + 1) * side, : part.shape[3]] += part
        self.store.release(into)
