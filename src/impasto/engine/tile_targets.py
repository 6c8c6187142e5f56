"""What an objective asks of one tile, and what the tile adds to what is measured of the whole.

A tile needs nothing else of the picture, so whoever has its pixels, its portion and the slopes can measure it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from impasto.core import losses as loss
from impasto.core.encoder import Features
from impasto.core.objective import Objective
from impasto.core.statistics import Moments, to_float32
from impasto.engine.backprop import InjectGradient
from impasto.engine.gradients import Gradients, add_style_gradient, moments_in_chunks
from impasto.engine.tiles import Tile

__all__ = [
    "TileStats",
    "TileTargets",
    "added",
    "crop_features",
    "crop_masks",
    "make_injector",
    "measure_tile",
    "select_targets",
]


@dataclass(frozen=True)
class TileTargets:
    """A tile's own part of every content target, with its share of the positions, and of every guide."""

    tile: Tile
    layers: frozenset[str]
    style: frozenset[str] = frozenset()
    content: Mapping[str, tuple[Tensor, float]] = field(default_factory=dict)
    guides: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def maps(self) -> list[Tensor]:
        """What is as large as the tile, or larger."""
        return [target for target, _ in self.content.values()] + [*self.guides.values()]


@dataclass(frozen=True)
class TileStats:
    """Content errors and moments: those of a tile, or summed over several."""

    errors: dict[str, Tensor]
    moments: dict[str, tuple[Moments, ...]]


def select_targets(objective: Objective, tile: Tile) -> TileTargets:
    """What concerns one tile; views, no copies."""

    def own(target: Tensor, layer: str) -> tuple[Tensor, float]:
        part = target[tile.own(layer)]
        return part, part.numel() / target.numel()

    return TileTargets(
        tile,
        objective.layers,
        frozenset() if objective.style_loss.needs_features else frozenset(target.layer for target in objective.style),
        {target.layer: own(target.value, target.layer) for target in objective.content},
        crop_masks(tile, objective.masks),
    )


def crop_masks(tile: Tile, guides: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Guides (R, h, w) where the tile has its own positions."""
    return {layer: guide[(slice(None), *tile.own(layer)[2:])] for layer, guide in guides.items()}


def crop_features(portion: TileTargets, features: Features) -> Features:
    """Those of the tile without its margin."""
    return {layer: values[portion.tile.inside(layer)] for layer, values in features.items()}


def measure_tile(portion: TileTargets, features: Features) -> TileStats:
    """What a tile adds, by its features."""
    own = crop_features(portion, features)
    return TileStats(
        {
            layer: share * loss.content_error(own[layer], target)
            for layer, (target, share) in portion.content.items()
            if target.numel()
        },
        {layer: moments_in_chunks(own[layer], portion.guides.get(layer)) for layer in portion.style},
    )


def added(surveys: Iterable[TileStats]) -> TileStats:
    """Surveys of tiles, in their order: of floating-point sums it decides the last bits."""
    total = TileStats({}, {})
    for survey in surveys:
        for layer, error in survey.errors.items():
            total.errors[layer] = total.errors[layer] + error if layer in total.errors else error
        for layer, parts in survey.moments.items():
            before = total.moments.get(layer)
            total.moments[layer] = parts if before is None else tuple(a + b for a, b in zip(before, parts, strict=True))
        del survey  # before the next tile asks for as much
    return total


def make_injector(portion: TileTargets, slopes: Gradients) -> InjectGradient:
    """What the losses ask of a tile's features: added at its own, nothing in the margin."""
    tile = portion.tile

    def pull(layer: str, gradient: Tensor | None, features: Tensor) -> Tensor:
        total = torch.zeros_like(features) if gradient is None else gradient
        own, seen = total[tile.inside(layer)], features[tile.inside(layer)]
        if seen.numel() == 0:
            return total
        slope = slopes.errors.get(layer)
        if slope is not None:
            target, share = portion.content[layer]
            with torch.enable_grad():
                wide = to_float32(seen.detach()).requires_grad_()
                (found,) = torch.autograd.grad(share * loss.content_error(wide, target), wide, slope)
            own += found
        guides = portion.guides.get(layer)
        for number, by in enumerate(slopes.style.get(layer, ())):
            add_style_gradient(own, seen, by, None if guides is None else guides[number])
        return total

    return pull
