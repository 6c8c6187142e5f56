"""What is asked of the target image: the targets, computed once and frozen, and losses from them.

    Total = content_weight × Content + α × Style + tv_weight × TV + laplacian_weight × Laplacian

An `Objective` says which layers to measure and turns measurements into losses. It does not know how
they were taken: whole, in tiles or elsewhere. Style is a function of `Moments`, one for each region, or
of the features where a loss says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.config import ResolvedConfig
from impasto.config.types import LayerWeight
from impasto.core import losses as loss
from impasto.core.encoder import Features
from impasto.core.statistics import Moments, compute_moments_by_region
from impasto.core.style_losses import StyleLoss, find_style_loss
from impasto.core.tensor_store import TensorStore

__all__ = ["ContentTarget", "Losses", "Measured", "Objective", "Part", "StyleParts", "StyleTarget", "make_objective"]

ROWS = 64
MIN_ENERGY = 1e-12
"""What a loss is divided by at least, so that a black target has a loss too."""

Measured = Moments | Tensor
"""What a style loss is a function of: moments, or features."""

StyleParts = dict[str, list[tuple[float, Measured]]]
"""By layer, what was measured of each style, with its share."""


@dataclass(frozen=True)
class Losses:
    """Scalars. `content` and `style` are weighted sums over layers; the per-layer values are unweighted."""

    total: Tensor
    content: Tensor
    style: Tensor
    tv: Tensor
    laplacian: Tensor
    content_layers: dict[str, Tensor]
    style_layers: dict[str, Tensor]

    def detach(self) -> Losses:
        """The same numbers, cut from the graph that they were computed in."""
        scalars = {name: value.detach() for name, value in self._scalars.items()}
        content, style = ({at: value.detach() for at, value in part.items()} for part in self._by_layer.values())
        return Losses(**scalars, content_layers=content, style_layers=style)

    def as_floats(self) -> dict[str, float]:
        """`total`, `content`, `style`, `tv`, `laplacian`, then `content.LAYER` and `style.LAYER`."""
        values = dict(self._scalars)
        for name, part in self._by_layer.items():
            values |= {f"{name}.{layer}": value for layer, value in part.items()}
        return {name: float(value) for name, value in values.items()}

    @property
    def _scalars(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in ("total", "content", "style", "tv", "laplacian")}

    @property
    def _by_layer(self) -> dict[str, dict[str, Tensor]]:
        return {"content": self.content_layers, "style": self.style_layers}


@dataclass(frozen=True)
class ContentTarget:
    """The features that one layer should have."""

    layer: str
    weight: float
    value: Tensor
    scale: float


@dataclass(frozen=True)
class Part:
    """What a style loss keeps for one region: its share of the picture, the target, and what it is divided by."""

    share: float
    value: Tensor
    scale: float


@dataclass(frozen=True)
class StyleTarget:
    """What one layer should look like, region by region; a picture without regions is one."""

    layer: str
    weight: float
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Objective:
    """Frozen targets and their weights. `layers` says what to measure, and `guides` where each region is there."""

    content: tuple[ContentTarget, ...]
    style: tuple[StyleTarget, ...]
    guides: dict[str, Tensor]
    laplacian: Part | None
    config: ResolvedConfig

    @property
    def style_loss(self) -> StyleLoss:
        """How styles are compared."""
        return find_style_loss(self.config.style_loss)

    def tv_share(self, image: Tensor) -> float:
        """What total variation is multiplied by: it is a mean in relative units, a sum in absolute ones."""
        is_mean = self.config.units == "relative" or self.config.tv_norm == "mean-squared"
        return 1 / image.numel() if is_mean else 1.0

    @property
    def layers(self) -> frozenset[str]:
        """Every layer that some target needs."""
        return frozenset([target.layer for target in self.content] + [target.layer for target in self.style])

    @property
    def maps(self) -> list[Tensor]:
        """What is as large as a picture, or larger: content targets, and guides."""
        return [target.value for target in self.content] + [*self.guides.values()]

    def losses(self, image: Tensor, features: Features) -> Losses:
        """Losses of an image (1, 3, H, W) whose features at `layers` were taken whole."""
        errors = {t.layer: loss.content_error(features[t.layer], t.value) for t in self.content}
        style = {t.layer: self.measured(t.layer, features[t.layer]) for t in self.style}
        tv = self.tv_share(image) * loss.total_variation(image, self.config.tv_norm)
        return self.combine(errors, style, tv, loss.pool_image(image) if self.laplacian else None)

    def measured(self, layer: str, features: Tensor) -> tuple[Measured, ...]:
        """What the style loss needs of a layer, for each region."""
        if self.style_loss.needs_features:
            return (features,)
        return compute_moments_by_region(features, self.guides.get(layer))

    def combine(
        self, errors: dict[str, Tensor], style: dict[str, tuple[Measured, ...]], tv: Tensor, pooled: Tensor | None
    ) -> Losses:
        """Losses from content errors, what was measured of style, total variation and the pooled image."""
        config, distance = self.config, self.style_loss.distance
        zero = torch.zeros_like(tv)
        by_content = {
            target.layer: loss.content_loss(errors[target.layer], config.content_loss, scale=target.scale)
            for target in self.content
        }
        by_style = {
            target.layer: sum(
                (
                    part.share * distance(found, part.value) / part.scale
                    for found, part in zip(style[target.layer], target.parts, strict=True)
                ),
                start=zero,
            )
            for target in self.style
        }
        content = sum((t.weight * by_content[t.layer] for t in self.content), start=zero)
        styled = sum((t.weight * by_style[t.layer] for t in self.style), start=zero)
        bent = zero
        if self.laplacian is not None and pooled is not None:
            bent = (loss.laplacian(pooled) - self.laplacian.value).square().mean() / self.laplacian.scale
        # region total
        total = config.content_weight * content + config.alpha * styled
        total = total + config.tv_weight * tv + config.laplacian_weight * bent
        # endregion
        return Losses(total, content, styled, tv, bent, by_content, by_style)


def make_objective(
    content: Features,
    image: Tensor,
    style: Sequence[tuple[float, StyleParts]],
    guides: dict[str, Tensor],
    config: ResolvedConfig,
    store: TensorStore,
) -> Objective:
    """Targets from what was measured once: the content's features, and the content `image` itself.

    `style` has for each region its share, and what was measured of its styles.
    """
    chosen = find_style_loss(config.style_loss)
    relative = config.units == "relative"

    def scale(energy: float) -> float:
        return max(energy, MIN_ENERGY) if relative else 1.0

    def weighted(layers: tuple[LayerWeight, ...]) -> Iterator[tuple[str, float]]:
        whole = sum(weight for _, weight in layers) if relative else 1.0
        return ((name, weight / whole) for name, weight in layers)

    def part(share: float, value: Tensor, energy: float) -> Part:
        return Part(share, value, scale(energy))

    def kept(layer: str) -> tuple[Part, ...]:
        values = [(share, chosen.target(found[layer])) for share, found in style]
        return tuple(part(share, value, chosen.energy(value)) for share, value in values)

    bends = loss.laplacian(loss.pool_image(image, store)) if config.laplacian_weight else None
    return Objective(
        content=tuple(
            ContentTarget(name, weight, content[name], scale(loss.energy(_strips(content[name], store))))
            for name, weight in weighted(config.content_layers)
        ),
        style=tuple(StyleTarget(name, weight, kept(name)) for name, weight in weighted(config.style_layers)),
        guides=guides,
        laplacian=part(1.0, bends, loss.energy([bends])) if bends is not None else None,
        config=config,
    )


def _strips(value: Tensor, store: TensorStore) -> Iterator[Tensor]:
    """A target a few rows at a time: content features may be larger than memory."""
    for first in range(0, value.shape[-2], ROWS):
        strip = value[..., first : first + ROWS, :]
        yield strip
        store.release(strip)
