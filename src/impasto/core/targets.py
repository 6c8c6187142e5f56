"""Targets: what the content and the styles measure, once per scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.config import ResolvedConfig
from impasto.config.networks import architecture
from impasto.config.style_losses import compares_neighbors, uses_dense_layers
from impasto.config.types import LayerWeight
from impasto.config.wrap import Dims, wrapped_dims
from impasto.core import losses as loss
from impasto.core.calm import calm_map, weigh_positions
from impasto.core.cells import Cells, describe, fit_basis
from impasto.core.encoder import Features
from impasto.core.evaluate import Engine
from impasto.core.masks import Region, StyleUse, downsample_masks
from impasto.core.matching import Area, find_matches
from impasto.core.neighbors import NeighborTarget, assemble
from impasto.core.objective import ContentTarget, Objective, RegionTarget, StyleMeasurement, StyleTarget, Target
from impasto.core.self_similarity import choose_places, distances
from impasto.core.statistics import mask_area
from impasto.core.style_losses import StyleLoss, find_style_loss
from impasto.core.tensor_store import TensorStore
from impasto.core.views import count_views

__all__ = ["Query", "build_objective"]

ROWS = 64
MIN_ENERGY = 1e-12
"""Smallest divisor of a relative loss, so that a black target has a finite loss."""

EDGE, EDGE_SHARE = 4, 4
"""Positions at the edges of a style that are left out where the target has none, at most a quarter of a side. Padding
shows there, and a target without edges would paint straight lines to look the same: with 2, textures of *The Starry
Night* show one from top to bottom, with a step of 2.1 times the median one, and 1.8 times with 4, as inside of the
painting (benchmarks/trials.md)."""

NEIGHBOR_STRENGTH = 10.0
"""Factor of the style loss of neighbors, so that one α gives pictures as strong as with other losses: with 3, photos
show through gray (benchmarks/quality.py)."""


SELF_SIMILARITY_STRENGTH = 15.0
"""Factor of the content loss by self-similarity, so that one α gives pictures as close to the photo as squared errors
do."""


@dataclass(frozen=True)
class Query:
    """The target that neighbors are searched by, and the share of the content in the search; or matches from before."""

    image: Tensor | None = None
    content_share: float = 1.0
    matches: Tensor | None = None


StyleParts = dict[str, list[tuple[float, StyleMeasurement]]]
"""By layer: the share and the measurement of each style."""


def build_objective(
    engine: Engine,
    content: Tensor,
    styles: Sequence[tuple[float, Tensor]],
    config: ResolvedConfig,
    regions: Sequence[Region] = (),
    *,
    query: Query | None = None,
) -> Objective:
    """Measure the content and each style (share, image), whose sizes may differ. Raises `LayerError`.

    `styles` are all views of each style by `config.style_augment`, one after another. With `regions`, each region is
    painted from the styles that it names; otherwise the whole image from all. `query` is what neighbors are searched
    by, besides the content.
    """
    layers, wrap = [name for name, _ in config.style_layers], wrapped_dims(config.wrap)
    calm = calm_map(content, wrap) if config.content_calm else None
    features = engine.features(content, [name for name, _ in config.content_layers], wrap)
    masks: dict[str, Tensor] = {}
    if regions:
        region_masks = [region.mask for region in regions]
        masks = downsample_masks(region_masks, engine.encoder.network, layers, content, engine.store)
    matches: Tensor | None = None
    style: tuple[StyleTarget, ...]
    if compares_neighbors(config.style_loss):
        matches, style = _neighbor_targets(engine, content, styles, config, regions, masks, query or Query())
    else:
        strength = _strength(config, max(content.shape[2:]))
        style = tuple(_style_targets(_measure_parts(engine, styles, layers, regions, config), config, strength))
    lines = loss.laplacian(loss.pool_image(content, engine.store), wrap) if config.laplacian_weight else None
    return Objective(
        content=tuple(_content_targets(features, calm, config, engine)),
        style=style,
        masks=masks if matches is None else {},  # neighbors have their own weights
        laplacian=Target(lines, _scale(loss.energy([lines]), config)) if lines is not None else None,
        config=config,
        matches=matches,
    )


def _measure_parts(
    engine: Engine,
    styles: Sequence[tuple[float, Tensor]],
    layers: Sequence[str],
    regions: Sequence[Region],
    config: ResolvedConfig,
) -> list[tuple[float, StyleParts]]:
    """Measure the styles of each region, or of the whole image, with its share of the image."""
    wrap = wrapped_dims(config.wrap)
    if not regions:
        return [(1.0, _measure_styles(engine, styles, layers, find_style_loss(config.style_loss), wrap))]
    parts = _measure_regions(engine, styles, layers, regions, wrap)
    return [(region.share, part) for region, part in zip(regions, parts, strict=True)]


def _measure_styles(
    engine: Engine,
    styles: Sequence[tuple[float, Tensor]],
    layers: Sequence[str],
    style_loss: StyleLoss,
    wrap: Dims,
) -> StyleParts:
    parts: StyleParts = {layer: [] for layer in layers}
    for share, image in styles:
        if style_loss.needs_features:
            for layer, features in engine.features(image, layers).items():
                parts[layer].append((share, _inside(features, wrap)))
        else:
            masks = _inner_masks([None], engine, layers, image, wrap) if wrap else None
            for layer, (moments,) in engine.moments(image, layers, masks).items():
                parts[layer].append((share, moments))
    return parts


def _inner_masks(
    masks: Sequence[Tensor | None], engine: Engine, layers: Sequence[str], style: Tensor, wrap: Dims
) -> dict[str, Tensor]:
    """Downsample masks of a style, and leave out what its edges look like where the target has none."""
    by_layer = downsample_masks(masks, engine.encoder.network, layers, style, engine.store)
    if wrap:
        for layer, values in by_layer.items():
            inside = torch.zeros_like(values)
            _inside(inside, wrap).fill_(1)
            by_layer[layer] = values * inside
    return by_layer


def _inside(values: Tensor, wrap: Dims) -> Tensor:
    """Return a view of the positions (..., h, w) that are not at edges that meet in the target."""
    for dim in wrap:
        side = values.shape[dim - 4]
        edge = min(EDGE, side // EDGE_SHARE)
        values = values.narrow(dim - 4, edge, side - 2 * edge)
    return values


def _measure_regions(
    engine: Engine, styles: Sequence[tuple[float, Tensor]], layers: Sequence[str], regions: Sequence[Region], wrap: Dims
) -> list[StyleParts]:
    """Measure each style once, for all regions that use it."""
    parts: list[StyleParts] = [{layer: [] for layer in layers} for _ in regions]
    for number, (_, image) in enumerate(styles):
        users = [
            (part, use)
            for part, region in zip(parts, regions, strict=True)
            for use in region.uses
            if use.style == number
        ]
        if not users:
            continue
        masks = _inner_masks([use.mask for _, use in users], engine, layers, image, wrap)
        for layer, measured in engine.moments(image, layers, masks).items():
            for (part, use), moments in zip(users, measured, strict=True):
                part[layer].append((use.share, moments))
    return parts


def _neighbor_targets(
    engine: Engine,
    content: Tensor,
    styles: Sequence[tuple[float, Tensor]],
    config: ResolvedConfig,
    regions: Sequence[Region],
    masks: dict[str, Tensor],
    query: Query,
) -> tuple[Tensor, tuple[StyleTarget, ...]]:
    """Match the cells of the target with those of the styles, and put together what they are to have."""
    network, store, layers = engine.encoder.network, engine.store, [name for name, _ in config.style_layers]

    def cells_of(image: Tensor, wrap: Dims = ()) -> Cells:
        return Cells(engine.features(image, layers, wrap), network, store, engine.encoder.device, wrap)

    paintings, matches, wrap = [cells_of(image) for _, image in styles], query.matches, wrapped_dims(config.wrap)
    if matches is None:
        basis = fit_basis(paintings)
        wanted = describe(cells_of(content, wrap), basis)
        if query.image is not None:
            wanted.vectors.lerp_(describe(cells_of(query.image, wrap), basis).vectors, 1 - query.content_share)
        areas = _areas([share for share, _ in styles], regions, wanted.shape, paintings)
        described, views = [describe(painting, basis) for painting in paintings], count_views(config.style_augment)
        matches = find_matches(wanted, described, areas, views)
    strength, targets = _strength(config, max(content.shape[2:])), []
    for name, weight in _weights(config.style_layers, config):
        height, width = (network.output_px(name, side) for side in content.shape[2:])
        directions, center = assemble(name, (height, width), paintings, matches, store)
        weights = masks[name].sum(dim=0) if regions else None
        total = height * width if weights is None else mask_area(weights)
        targets.append(StyleTarget(name, strength * weight, (), NeighborTarget(directions, center, weights, total)))
    return matches, tuple(targets)


def _areas(
    shares: Sequence[float], regions: Sequence[Region], shape: tuple[int, int], paintings: Sequence[Cells]
) -> list[Area]:
    """Return the areas in cells: a cell belongs to the region that covers most of it."""
    if not regions:
        return [Area(None, tuple((number, share, None) for number, share in enumerate(shares)))]
    covers = torch.stack([F.adaptive_avg_pool2d(region.mask, shape).flatten() for region in regions])
    owner = covers.argmax(dim=0).where(covers.amax(dim=0) > 0, -1)

    def inside(use: StyleUse) -> Tensor | None:
        if use.mask is None:
            return None
        cover = F.adaptive_avg_pool2d(use.mask, paintings[use.style].shape).flatten()
        return cover >= min(0.5, float(cover.max()))

    return [
        Area(owner == number, tuple((use.style, use.share, inside(use)) for use in region.uses))
        for number, region in enumerate(regions)
    ]


def _content_targets(
    features: Features, calm: Tensor | None, config: ResolvedConfig, engine: Engine
) -> Iterator[ContentTarget]:
    for name, weight in _weights(config.content_layers, config):
        values = features[name]
        if config.content_loss == "self-similarity":
            places = choose_places(*values.shape[2:]).to(values.device)
            target = distances(places.take(values)).to(engine.encoder.device)  # features may be in another place
            scale = 1 / SELF_SIMILARITY_STRENGTH if config.units == "relative" else 1.0
            yield ContentTarget(target, scale, name, weight, places)
        else:
            weights = None if calm is None else weigh_positions(calm, values.shape[2:], config.content_calm)
            scale = _scale(loss.energy(_rows(values, engine.store)), config)
            yield ContentTarget(values, scale, name, weight, position_weights=weights)


def _style_targets(
    parts: Sequence[tuple[float, StyleParts]], config: ResolvedConfig, strength: float
) -> Iterator[StyleTarget]:
    style_loss = find_style_loss(config.style_loss)
    for name, weight in _weights(config.style_layers, config):
        values = [(share, style_loss.target(part[name])) for share, part in parts]
        regions = [RegionTarget(value, _scale(style_loss.energy(value), config), share) for share, value in values]
        yield StyleTarget(name, strength * weight, tuple(regions))


def _strength(config: ResolvedConfig, size_px: int) -> float:
    if config.units == "absolute":
        return 1.0
    if compares_neighbors(config.style_loss):
        return NEIGHBOR_STRENGTH
    return architecture(config.network).strength(size_px) if uses_dense_layers(config.style_loss) else 1.0


def _scale(energy: float, config: ResolvedConfig) -> float:
    return max(energy, MIN_ENERGY) if config.units == "relative" else 1.0


def _weights(layers: tuple[LayerWeight, ...], config: ResolvedConfig) -> Iterator[tuple[str, float]]:
    """Yield layers with their weights, which sum to one in relative units."""
    whole = sum(weight for _, weight in layers) if config.units == "relative" else 1.0
    return ((name, weight / whole) for name, weight in layers)


def _rows(value: Tensor, store: TensorStore) -> Iterator[Tensor]:
    """Yield a target a few rows at a time: content features may be larger than memory."""
    for first in range(0, value.shape[-2], ROWS):
        rows = value[..., first : first + ROWS, :]
        yield rows
        store.release(rows)
