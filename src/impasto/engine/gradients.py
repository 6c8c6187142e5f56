"""How the total changes with what was measured, and with the features that it was measured of.

What is measured of a tile adds up; autograd on the sums, which are small, gives their slopes; and these are
carried back to the features at hand:

    dL/dF = g ∘ (dL/d(sum) + (dL/d(outer) + dL/d(outer)ᵀ) F) + dL/d(error) d(error)/dF

with g the guide of each region, or one. Features are worked on a few rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.core.objective import Losses, Measurements, Objective, StyleMeasurement
from impasto.core.statistics import Moments, mask_area, to_float32

__all__ = ["Gradients", "add_style_gradient", "compute_gradients", "moments_in_chunks"]

ROWS = 1 << 14
"""Positions worked on at a time, so that they stay in the cache."""


@dataclass(frozen=True)
class Gradients:
    """d(total) by what was measured: content errors, style, total variation, the pooled image."""

    errors: dict[str, Tensor | None]
    style: dict[str, tuple[Slope, ...]]
    variation: Tensor | None
    pooled: Tensor | None


@dataclass(frozen=True)
class Slope:
    """d(total) by one region's moments, or by the features themselves."""

    sum: Tensor | None = None
    outer: Tensor | None = None
    features: Tensor | None = None


def compute_gradients(objective: Objective, measured: Measurements, alpha: float) -> tuple[Losses, Gradients]:
    """Compute losses, and the gradient of the total by each measurement."""
    pooled = measured.pooled
    asked: list[Tensor] = []

    def leaf(tensor: Tensor) -> Tensor:
        # Detached: features still serve the way back, which works on them in place.
        asked.append(tensor.detach().requires_grad_())
        return asked[-1]

    def leaves(part: StyleMeasurement) -> StyleMeasurement:
        if isinstance(part, Moments):
            return Moments(part.count, leaf(part.sum), leaf(part.outer))
        return leaf(to_float32(part))

    with torch.enable_grad():
        by_error = {layer: leaf(error) for layer, error in measured.errors.items()}
        by_style = {layer: tuple(leaves(part) for part in parts) for layer, parts in measured.style.items()}
        variation = leaf(measured.variation)
        leaves_of = Measurements(by_error, by_style, variation, None if pooled is None else leaf(pooled))
        losses = objective.combine(leaves_of, alpha)
        found: Iterator[Tensor | None] = iter(torch.autograd.grad(losses.total, asked, allow_unused=True))

    def slope(part: StyleMeasurement) -> Slope:
        return Slope(next(found), next(found)) if isinstance(part, Moments) else Slope(features=next(found))

    return losses.detach(), Gradients(
        {layer: next(found) for layer in by_error},
        {layer: tuple(slope(part) for part in parts) for layer, parts in by_style.items()},
        next(found),
        None if pooled is None else next(found),
    )


def add_style_gradient(own: Tensor, seen: Tensor, slope: Slope, guide: Tensor | None) -> None:
    """Add to the gradient at a tile's own features what one region's style asks of them."""
    if slope.features is not None:
        own += slope.features
    if slope.outer is None and slope.sum is None:
        return
    symmetric = None if slope.outer is None else (slope.outer + slope.outer.T).to(own.dtype)
    mean = None if slope.sum is None else slope.sum.to(own.dtype)
    for into, rows, weights in zip(_strips(own), _strips(seen), _strips_of(guide, own), strict=True):
        if weights is not None and not weights.any():
            continue
        part = torch.zeros_like(into) if symmetric is None else (rows.reshape(-1, rows.shape[2]) @ symmetric)
        part = part.view(into.shape)
        if mean is not None:
            part += mean
        into += part if weights is None else part.mul_(weights[..., None])


def _strips(features: Tensor) -> Iterator[Tensor]:
    """A channels-last (1, C, h, w) as views (rows, w, C) of about `ROWS` positions."""
    rows = features.permute(0, 2, 3, 1)[0]
    step = max(1, ROWS // max(1, rows.shape[1]))
    for first in range(0, rows.shape[0], step):
        yield rows[first : first + step]


def _strips_of(guide: Tensor | None, features: Tensor) -> Iterator[Tensor | None]:
    """The same rows of a guide (h, w), or None for each of them."""
    step = max(1, ROWS // max(1, features.shape[3]))
    for first in range(0, features.shape[2], step):
        yield None if guide is None else guide[first : first + step].to(features)


def moments_in_chunks(own: Tensor, guides: Tensor | None) -> tuple[Moments, ...]:
    """As `statistics.moments_by_region`, a few rows at a time: of features (1, C, h, w), and guides (R, h, w)."""
    return (_moments(own, None),) if guides is None else tuple(_moments(own, guide) for guide in guides)


def _moments(own: Tensor, guide: Tensor | None) -> Moments:
    channels, wide = own.shape[1], torch.promote_types(own.dtype, torch.float32)
    mean, outer = own.new_zeros(channels, dtype=wide), own.new_zeros(channels, channels, dtype=wide)
    for strip, weights in zip(_strips(own), _strips_of(guide, own), strict=True):
        rows = strip.reshape(-1, channels).to(wide)
        if weights is None:
            weighted = rows
        elif weights.any():
            weighted = rows * weights.reshape(-1, 1).to(wide)
        else:
            continue
        mean += weighted.sum(dim=0)
        outer.addmm_(weighted.T, rows)
    count = own.shape[2] * own.shape[3] if guide is None else mask_area(guide)
    return Moments(count, mean, outer)
