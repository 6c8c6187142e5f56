"""What is asked of the target image: the targets, computed once and frozen, and losses from them.

    Total = content_weight × Content + α × Style + tv_weight × TV

An `Objective` says which layers to measure and turns measurements into losses. It does not know how
they were taken: whole, in tiles or elsewhere. Style is a function of `Moments` only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto import losses as loss
from impasto.config import Config
from impasto.encoder import Features
from impasto.notation import LayerWeight
from impasto.statistics import Moments, moments_of
from impasto.store import Store

__all__ = ["Losses", "Objective", "Target", "make_objective"]

ROWS = 64
LEAST_ENERGY = 1e-12
"""What a loss is divided by at least, so that a black target has a loss too."""

Energy = Callable[[Tensor], float]


@dataclass(frozen=True)
class Losses:
    """Scalars. `content` and `style` are weighted sums over layers; the per-layer values are unweighted."""

    total: Tensor
    content: Tensor
    style: Tensor
    tv: Tensor
    content_layers: dict[str, Tensor]
    style_layers: dict[str, Tensor]

    def detach(self) -> Losses:
        """The same numbers, cut from the graph that they were computed in."""
        return Losses(
            total=self.total.detach(),
            content=self.content.detach(),
            style=self.style.detach(),
            tv=self.tv.detach(),
            content_layers={layer: value.detach() for layer, value in self.content_layers.items()},
            style_layers={layer: value.detach() for layer, value in self.style_layers.items()},
        )

    def as_floats(self) -> dict[str, float]:
        """`total`, `content`, `style`, `tv`, then `content.LAYER` and `style.LAYER`."""
        values = {"total": self.total, "content": self.content, "style": self.style, "tv": self.tv}
        values |= {f"content.{layer}": value for layer, value in self.content_layers.items()}
        values |= {f"style.{layer}": value for layer, value in self.style_layers.items()}
        return {name: float(value) for name, value in values.items()}


@dataclass(frozen=True)
class Target:
    """What one layer should look like: features for content, what a statistic keeps for style."""

    layer: str
    weight: float
    value: Tensor
    scale: float


@dataclass(frozen=True)
class Objective:
    """Frozen targets and their weights. `layers` says what to measure."""

    content: tuple[Target, ...]
    style: tuple[Target, ...]
    style_loss: str
    content_weight: float
    alpha: float
    tv_weight: float
    tv_norm: loss.Norm
    tv_mean: bool

    def tv_share(self, image: Tensor) -> float:
        """What total variation is multiplied by: it is a mean in relative units, a sum in absolute ones."""
        return 1 / image.numel() if self.tv_mean else 1.0

    @property
    def layers(self) -> frozenset[str]:
        """Every layer that some target needs."""
        return frozenset(target.layer for target in (*self.content, *self.style))

    def losses(self, image: Tensor, features: Features) -> Losses:
        """Losses of an image (1, 3, H, W) whose features at `layers` were taken whole."""
        content = {
            target.layer: loss.content_loss(features[target.layer], target.value, scale=target.scale)
            for target in self.content
        }
        moments = {target.layer: moments_of(features[target.layer]) for target in self.style}
        return self.combine(content, moments, self.tv_share(image) * loss.total_variation(image, self.tv_norm))

    def combine(self, content: dict[str, Tensor], moments: dict[str, Moments], tv: Tensor) -> Losses:
        """Losses from content errors and moments per layer, however those were measured."""
        distance = loss.STYLE_LOSSES[self.style_loss].distance
        style = {target.layer: distance(moments[target.layer], target.value) / target.scale for target in self.style}
        zero = torch.zeros_like(tv)
        content_sum = sum((t.weight * content[t.layer] for t in self.content), start=zero)
        style_sum = sum((t.weight * style[t.layer] for t in self.style), start=zero)
        total = self.content_weight * content_sum + self.alpha * style_sum + self.tv_weight * tv
        return Losses(total, content_sum, style_sum, tv, content, style)


def make_objective(content: Features, style: dict[str, Moments], config: Config, store: Store) -> Objective:
    """Targets from what was measured once: content features and style moments; sizes may differ."""
    style_loss = loss.STYLE_LOSSES[config.style_loss]
    kept = {name: style_loss.kept(found) for name, found in style.items()}
    relative = config.units == "relative"

    def targets(layers: tuple[LayerWeight, ...], values: dict[str, Tensor], energy: Energy) -> tuple[Target, ...]:
        whole = sum(weight for _, weight in layers) if relative else 1.0
        return tuple(
            Target(name, weight / whole, values[name], max(energy(values[name]), LEAST_ENERGY) if relative else 1.0)
            for name, weight in layers
        )

    return Objective(
        content=targets(config.content_layers, content, lambda value: loss.energy(_strips(value, store))),
        style=targets(config.style_layers, kept, style_loss.energy),
        style_loss=config.style_loss,
        content_weight=config.content_weight,
        alpha=config.alpha,
        tv_weight=config.tv_weight,
        tv_norm=config.tv,
        tv_mean=relative,
    )


def _strips(value: Tensor, store: Store) -> Iterator[Tensor]:
    """A target a few rows at a time: content features may be larger than memory."""
    for first in range(0, value.shape[-2], ROWS):
        strip = value[..., first : first + ROWS, :]
        yield strip
        store.release(strip)
