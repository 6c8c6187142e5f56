"""The part of an objective that one tile needs, and the tile's part of the measurements.

A tile needs nothing else of the image, so a process that has its pixels, targets and the gradients can measure it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from impasto.core.encoder import Features
from impasto.core.neighbors import NeighborTarget, neighbor_distance
from impasto.core.objective import ContentTarget, Objective
from impasto.core.self_similarity import Places
from impasto.core.statistics import Moments, mask_area
from impasto.engine.backprop import InjectGradient
from impasto.engine.gradients import Gradients, add_neighbor_gradient
from impasto.engine.operations import Operations
from impasto.engine.tiles import Tile

__all__ = [
    "TileStats",
    "TileTargets",
    "crop_features",
    "crop_masks",
    "make_injector",
    "measure_tile",
    "select_targets",
    "sum_stats",
]


@dataclass(frozen=True)
class TileContent:
    """The content's features in one tile, their share of the image, and the weights of their positions, if any."""

    features: Tensor
    share: float
    position_weights: Tensor | None = None

    def to(self, device: torch.device) -> TileContent:
        """Return the same content on a device."""
        weights = None if self.position_weights is None else self.position_weights.to(device)
        return TileContent(self.features.to(device), self.share, weights)


@dataclass(frozen=True)
class TileTargets:
    """One tile's part of an objective: content, style and masks.

    Content is compared with features, or taken at places.
    """

    tile: Tile
    layers: frozenset[str]
    style_layers: frozenset[str] = frozenset()
    content: Mapping[str, TileContent] = field(default_factory=dict)
    places: Mapping[str, Places] = field(default_factory=dict)
    neighbors: Mapping[str, NeighborTarget] = field(default_factory=dict)
    masks: Mapping[str, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device) -> TileTargets:
        """Return the same targets on a device."""
        if all(t.device == device for t in (*self.tensors, *(places.rows for places in self.places.values()))):
            return self
        return replace(
            self,
            content={layer: content.to(device) for layer, content in self.content.items()},
            places={layer: places.to(device) for layer, places in self.places.items()},
            neighbors={layer: target.to(device) for layer, target in self.neighbors.items()},
            masks={layer: masks.to(device) for layer, masks in self.masks.items()},
        )

    @cached_property
    def areas(self) -> dict[str, tuple[float, ...]]:
        """The area of each mask, by layer, computed once."""
        return {layer: tuple(map(mask_area, masks)) for layer, masks in self.masks.items()}

    @property
    def tensors(self) -> list[Tensor]:
        """The large tensors, which may be on disk."""
        neighbors = [target.directions for target in self.neighbors.values()]
        return [content.features for content in self.content.values()] + neighbors + [*self.masks.values()]


@dataclass(frozen=True)
class TileStats:
    """Content, moments and distances from neighbors of a tile, or their sums over several tiles."""

    content: dict[str, Tensor]
    moments: dict[str, tuple[Moments, ...]]
    distances: dict[str, Tensor]


def select_targets(objective: Objective, tile: Tile, layers: frozenset[str] | None = None) -> TileTargets:
    """Select one tile's part of an objective, as views; None: at all layers."""
    measured = objective.layers if layers is None else layers
    content = [target for target in objective.content if target.layer in measured]
    style = [target for target in objective.style if target.layer in measured]

    def crop(target: ContentTarget) -> TileContent:
        window = tile.in_image(target.layer)
        part, weights = target.value[window], target.position_weights
        return TileContent(part, part.numel() / target.value.numel(), None if weights is None else weights[window[2:]])

    by_moments = () if objective.needs_features else (t.layer for t in style if t.neighbors is None)
    return TileTargets(
        tile,
        measured,
        frozenset(by_moments),
        {t.layer: crop(t) for t in content if t.places is None},
        {t.layer: t.places.crop(tile.in_image(t.layer)) for t in content if t.places is not None},
        {t.layer: t.neighbors.crop(tile.in_image(t.layer)) for t in style if t.neighbors is not None},
        crop_masks(tile, {layer: mask for layer, mask in objective.masks.items() if layer in measured}),
    )


def crop_masks(tile: Tile, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Select the tile's own positions of masks (R, h, w)."""
    return {layer: mask[(slice(None), *tile.in_image(layer)[2:])] for layer, mask in masks.items()}


def crop_features(targets: TileTargets, features: Features) -> Features:
    """Remove the margin from the features of a tile."""
    return {layer: values[targets.tile.in_tile(layer)] for layer, values in features.items()}


def measure_tile(targets: TileTargets, features: Features, operations: Operations) -> TileStats:
    """Measure a tile by its features."""
    own = crop_features(targets, features)
    return TileStats(
        {
            layer: content.share * operations.content_error(own[layer], content.features, content.position_weights)
            for layer, content in targets.content.items()
            if content.features.numel()
        }
        | {layer: places.take(own[layer]) for layer, places in targets.places.items()},
        {
            layer: operations.moments(own[layer], targets.masks.get(layer), targets.areas.get(layer, ()))
            for layer in targets.style_layers
        },
        {layer: neighbor_distance(own[layer], target) for layer, target in targets.neighbors.items()},
    )


def sum_stats(stats: Iterable[TileStats]) -> TileStats:
    """Sum over tiles in their order, which decides the last bits of the result."""
    total = TileStats({}, {}, {})
    for one in stats:
        for sums, parts in ((total.content, one.content), (total.distances, one.distances)):
            for layer, part in parts.items():
                sums[layer] = sums[layer] + part if layer in sums else part
        for layer, moments in one.moments.items():
            before = total.moments.get(layer)
            both = moments if before is None else tuple(a + b for a, b in zip(before, moments, strict=True))
            total.moments[layer] = both
        del one  # before the next tile needs as much memory
    return total


def make_injector(
    targets: TileTargets, gradients: Gradients, operations: Operations, slopes: Features | None = None
) -> InjectGradient:
    """Return a function that adds the losses' gradient at a tile's own features, and nothing in the margin.

    `slopes` are more gradients, by features of the whole image.
    """
    tile = targets.tile

    def inject(layer: str, gradient: Tensor | None, features: Tensor) -> Tensor:
        total = torch.zeros_like(features) if gradient is None else gradient
        own_total, own = total[tile.in_tile(layer)], features[tile.in_tile(layer)]
        if own.numel() == 0:
            return total
        if slopes and layer in slopes:
            own_total += slopes[layer][tile.in_image(layer)]
        by_content = gradients.content.get(layer)
        if by_content is not None and layer in targets.places:
            targets.places[layer].add_gradient(own_total, by_content)
        elif by_content is not None:
            content = targets.content[layer]
            by_error = content.share * by_content
            operations.add_content_gradient(own_total, own, content.features, by_error, content.position_weights)
        neighbors = targets.neighbors.get(layer)
        if neighbors is not None:
            (style,) = gradients.style[layer]
            add_neighbor_gradient(own_total, own, neighbors, style.features)
            return total
        masks = targets.masks.get(layer)
        for number, style in enumerate(gradients.style.get(layer, ())):
            operations.add_style_gradient(own_total, own, style, None if masks is None else masks[number])
        return total

    return inject
