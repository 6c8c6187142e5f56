"""The objective: frozen targets, and the losses of an image against them.

    Total = content_weight × Content + α × Style + tv_weight × TV + laplacian_weight × Laplacian

An `Objective` knows the layers to measure, and turns measurements into losses. How these are made, from the whole
image, in tiles or on other machines, is up to an engine. α is not part of an objective: it comes with each
evaluation, so that changing it rebuilds nothing. `targets.build_objective` makes an objective from images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.config import ResolvedConfig
from impasto.config.wrap import Dims, wrapped_dims
from impasto.core import losses as loss
from impasto.core.encoder import Features
from impasto.core.neighbors import NeighborTarget, neighbor_distance
from impasto.core.self_similarity import Places, self_similarity_loss
from impasto.core.statistics import Moments, compute_moments_by_region
from impasto.core.style_losses import find_style_loss, needs_features

__all__ = [
    "ContentTarget",
    "Losses",
    "Measurements",
    "Objective",
    "RegionTarget",
    "StyleMeasurement",
    "StyleTarget",
    "Target",
]

StyleMeasurement = Moments | Tensor
"""The input of a style loss: moments, features with `needs_features`, or the distance from neighbors."""


SCALARS = ("total", "content", "style", "tv", "laplacian")


@dataclass(frozen=True)
class Losses:
    """Scalars. `content` and `style` are weighted sums over layers; the values by layer are unweighted.

    `temporal` is that of a frame of a clip, None for other pictures.
    """

    total: Tensor
    content: Tensor
    style: Tensor
    tv: Tensor
    laplacian: Tensor
    content_layers: dict[str, Tensor]
    style_layers: dict[str, Tensor]
    temporal: Tensor | None = None

    def copy(self) -> Losses:
        """Return a copy without the graph, in memory of its own."""
        values = iter(torch.stack([*self._values.values()]).detach().unbind())
        total, content, style, tv, laplacian = (next(values) for _ in SCALARS)
        contents, styles = (dict(zip(p, values, strict=False)) for p in (self.content_layers, self.style_layers))
        return Losses(total, content, style, tv, laplacian, contents, styles, next(values, None))

    def as_floats(self) -> dict[str, float]:
        """Return `total`, `content`, `style`, `tv`, `laplacian`, `content.LAYER`, `style.LAYER`; `temporal` if any."""
        values = self._values
        return dict(zip(values, torch.stack([*values.values()]).tolist(), strict=True))

    @property
    def _values(self) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {name: getattr(self, name) for name in SCALARS}
        for name, part in (("content", self.content_layers), ("style", self.style_layers)):
            values |= {f"{name}.{layer}": value for layer, value in part.items()}
        return values if self.temporal is None else values | {"temporal": self.temporal}


@dataclass(frozen=True)
class Measurements:
    """Measurements of an image that its losses depend on: content and style by layer, and its pixels' own.

    Content is `content_error`, or the features at the places of its target.
    """

    content: dict[str, Tensor]
    style: dict[str, tuple[StyleMeasurement, ...]]
    variation: Tensor
    pooled: Tensor | None


@dataclass(frozen=True)
class Target:
    """A frozen target, and the divisor of its loss."""

    value: Tensor
    scale: float


@dataclass(frozen=True)
class ContentTarget(Target):
    """The content's features at a layer, or distances of its `places`; `position_weights`, (h, w), weigh errors."""

    layer: str
    weight: float
    places: Places | None = None
    position_weights: Tensor | None = None


@dataclass(frozen=True)
class RegionTarget(Target):
    """The style target of one region, and the region's share of the image."""

    share: float


@dataclass(frozen=True)
class StyleTarget:
    """The style targets of one layer, by region, or the neighbors of its positions.

    An image without masks is one region. Neighbors cover all regions.
    """

    layer: str
    weight: float
    regions: tuple[RegionTarget, ...]
    neighbors: NeighborTarget | None = None


@dataclass(frozen=True)
class Objective:
    """Frozen targets and their weights. `masks` holds the regions by layer, (R, h, w).

    `matches` are those that neighbors were assembled by: see `matching.find_matches`.
    """

    content: tuple[ContentTarget, ...]
    style: tuple[StyleTarget, ...]
    masks: dict[str, Tensor]
    laplacian: Target | None
    config: ResolvedConfig
    matches: Tensor | None = None

    @property
    def needs_features(self) -> bool:
        """True if styles are compared by all features at once."""
        return needs_features(self.config.style_loss)

    @property
    def wrap(self) -> Dims:
        """The dimensions in which the edges of the image meet."""
        return wrapped_dims(self.config.wrap)

    @property
    def layers(self) -> frozenset[str]:
        """The layers to measure."""
        return frozenset([target.layer for target in self.content] + [target.layer for target in self.style])

    def tv_scale(self, image: Tensor) -> float:
        """Return the factor of total variation: it is a mean in relative units, a sum in absolute ones."""
        is_mean = self.config.units == "relative" or self.config.tv_norm == "mean-squared"
        return 1 / image.numel() if is_mean else 1.0

    def losses(self, image: Tensor, features: Features, alpha: float) -> Losses:
        """Compute the losses of an image (1, 3, H, W) from all of its features at `layers`."""
        content = {t.layer: self.measure_content(t, features[t.layer]) for t in self.content}
        style = {t.layer: self.measure_style(t, features[t.layer]) for t in self.style}
        variation = self.tv_scale(image) * loss.total_variation(image, self.config.tv_norm, self.wrap)
        pooled = loss.pool_image(image) if self.laplacian else None
        return self.combine(Measurements(content, style, variation, pooled), alpha)

    def measure_content(self, target: ContentTarget, features: Tensor) -> Tensor:
        """Measure the error of all features, or take those at the places of the target."""
        if target.places is not None:
            return target.places.take(features)
        return loss.content_error(features, target.value, target.position_weights)

    def measure_style(self, target: StyleTarget, features: Tensor) -> tuple[StyleMeasurement, ...]:
        """Measure the style of each region, or the distance from the neighbors."""
        if target.neighbors is not None:
            return (neighbor_distance(features, target.neighbors),)
        if self.needs_features:
            return (features,)
        return compute_moments_by_region(features, self.masks.get(target.layer))

    def combine(self, measured: Measurements, alpha: float) -> Losses:
        """Compute the losses from measurements."""
        config, tv = self.config, measured.variation
        zero = torch.zeros_like(tv)
        by_content = {t.layer: self._content_loss(t, measured.content[t.layer]) for t in self.content}
        by_style = {t.layer: self._style_loss(t, measured.style[t.layer], zero) for t in self.style}
        content = sum((t.weight * by_content[t.layer] for t in self.content), start=zero)
        style = sum((t.weight * by_style[t.layer] for t in self.style), start=zero)
        lines = zero
        if self.laplacian is not None and measured.pooled is not None:
            error = (loss.laplacian(measured.pooled, self.wrap) - self.laplacian.value).square().mean()
            lines = error / self.laplacian.scale
        # region total
        total = config.content_weight * content + alpha * style
        total = total + config.tv_weight * tv + config.laplacian_weight * lines
        # endregion
        return Losses(total, content, style, tv, lines, by_content, by_style)

    def _content_loss(self, target: ContentTarget, measured: Tensor) -> Tensor:
        if target.places is not None:
            return self_similarity_loss(measured, target.value) / target.scale
        norm: loss.ContentNorm = "scaled" if self.config.content_loss == "scaled" else "squared"
        return loss.content_loss(measured, norm, scale=target.scale)

    def _style_loss(self, target: StyleTarget, style: tuple[StyleMeasurement, ...], zero: Tensor) -> Tensor:
        if target.neighbors is not None:
            (measured,) = style
            assert isinstance(measured, Tensor)
            return measured
        distance = find_style_loss(self.config.style_loss).distance
        by_region = zip(style, target.regions, strict=True)
        return sum((r.share * distance(found, r.value) / r.scale for found, r in by_region), start=zero)
