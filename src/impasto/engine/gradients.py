"""Gradients of the total by the measurements of an image, and from these by its features.

Measurements of tiles add up. Autograd on the sums, which are small, gives the gradient by each of them. Per tile it is
carried back to the features F:

    dL/dF = m ∘ (dL/d(sum) + (dL/d(outer) + dL/d(outer)ᵀ) F) + dL/d(error) d(error)/dF + dL/d(distance) d(distance)/dF

with m the mask of each region, or 1. Features are processed a few rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.core.neighbors import MIN_LENGTH, NeighborTarget
from impasto.core.objective import Losses, Measurements, Objective, StyleMeasurement
from impasto.core.statistics import Moments, to_float32

__all__ = [
    "Gradients",
    "StyleGradient",
    "add_content_gradient",
    "add_neighbor_gradient",
    "add_style_gradient",
    "compute_gradients",
    "moments_in_chunks",
]

CHUNK, CARD_CHUNK = 1 << 14, 1 << 18
"""Positions processed at a time, so that they stay in a CPU's cache. A card is faster with few large operations."""


@dataclass(frozen=True)
class StyleGradient:
    """d(total) by the moments of one region, by the features themselves, or by the distance from neighbors."""

    sum: Tensor | None = None
    outer: Tensor | None = None
    features: Tensor | None = None


@dataclass(frozen=True)
class Gradients:
    """d(total) by each of the `Measurements`; None where the total does not depend on it."""

    content: dict[str, Tensor | None]
    style: dict[str, tuple[StyleGradient, ...]]
    variation: Tensor | None
    pooled: Tensor | None


def compute_gradients(objective: Objective, measured: Measurements, alpha: float) -> tuple[Losses, Gradients]:
    """Compute the losses, and the gradient of the total by each measurement."""
    inputs: list[Tensor] = []

    def leaf(tensor: Tensor) -> Tensor:
        # Detached: the backward pass still changes features in place.
        inputs.append(tensor.detach().requires_grad_())
        return inputs[-1]

    def style_leaf(part: StyleMeasurement) -> StyleMeasurement:
        if isinstance(part, Moments):
            return Moments(part.count, leaf(part.sum), leaf(part.outer))
        return leaf(to_float32(part))

    with torch.enable_grad():
        content = {layer: leaf(part) for layer, part in measured.content.items()}
        style = {layer: tuple(style_leaf(part) for part in parts) for layer, parts in measured.style.items()}
        variation, pooled = leaf(measured.variation), measured.pooled
        pooled = None if pooled is None else leaf(pooled)
        losses = objective.combine(Measurements(content, style, variation, pooled), alpha)
        grads: Iterator[Tensor | None] = iter(torch.autograd.grad(losses.total, inputs, allow_unused=True))

    def style_gradient(part: StyleMeasurement) -> StyleGradient:
        if isinstance(part, Moments):
            return StyleGradient(next(grads), next(grads))
        return StyleGradient(features=next(grads))

    return losses.copy(), Gradients(
        {layer: next(grads) for layer in content},
        {layer: tuple(style_gradient(part) for part in parts) for layer, parts in style.items()},
        next(grads),
        None if pooled is None else next(grads),
    )


def add_style_gradient(total: Tensor, features: Tensor, gradient: StyleGradient, mask: Tensor | None) -> None:
    """Add d(total)/d(features) by one region's style to `total`, in place."""
    if gradient.features is not None:
        total += gradient.features
    if gradient.outer is None and gradient.sum is None:
        return
    symmetric = None if gradient.outer is None else (gradient.outer + gradient.outer.T).to(total.dtype)
    mean = None if gradient.sum is None else gradient.sum.to(total.dtype)
    for into, rows, weights in zip(_rows(total), _rows(features), _mask_rows(mask, total), strict=True):
        if weights is not None and _is_known_zero(weights):
            continue
        if weights is None and symmetric is not None and into.is_contiguous():
            if mean is not None:
                into += mean
            into.view(-1, into.shape[2]).addmm_(rows.reshape(-1, rows.shape[2]), symmetric)
            continue
        part = torch.zeros_like(into) if symmetric is None else (rows.reshape(-1, rows.shape[2]) @ symmetric)
        part = part.view(into.shape)
        if mean is not None:
            part += mean
        into += part if weights is None else part.mul_(weights[..., None])


def add_content_gradient(
    total: Tensor, features: Tensor, target: Tensor, by_error: Tensor, weights: Tensor | None = None
) -> None:
    """Add d(total)/d(features) by `content_error` of features, target and weights to `total`, in place."""
    by_square, by_absolute = by_error / features.numel()
    squares_only, ranges = _is_known_zero(by_absolute), _row_ranges(features)
    for window, into, rows, wanted in zip(ranges, _rows(total), _rows(features), _rows(target), strict=True):
        difference = to_float32(rows) - to_float32(wanted)
        part = 2 * by_square * difference
        if not squares_only:
            part.add_(by_absolute * difference.sign())
        into += part if weights is None else part.mul_(weights[slice(*window), :, None])


def add_neighbor_gradient(total: Tensor, features: Tensor, target: NeighborTarget, by_distance: Tensor | None) -> None:
    """Add d(total)/d(features) by `neighbor_distance` to `total`, in place.

    With u = x / |x|, the gradient of 1 − u·t by x is ((u·t) u − t) / |x|.
    """
    if by_distance is None:
        return
    slope = by_distance / target.total
    masks = _mask_rows(target.weights, features)
    for into, rows, wanted, weights in zip(_rows(total), _rows(features), _rows(target.directions), masks, strict=True):
        vectors = to_float32(rows) - target.center
        lengths = vectors.norm(dim=-1, keepdim=True).clamp_(min=MIN_LENGTH)
        directions = vectors.div_(lengths)
        cosine = (directions * wanted).sum(dim=-1, keepdim=True)
        part = directions.mul_(cosine).sub_(wanted).mul_(slope / lengths)
        into += part if weights is None else part.mul_(weights[..., None])


def _rows(features: Tensor) -> Iterator[Tensor]:
    """Yield channels-last features (1, C, h, w) as views (rows, w, C) of about `CHUNK` positions."""
    rows = features.permute(0, 2, 3, 1)[0]
    for first, last in _row_ranges(features):
        yield rows[first:last]


def _mask_rows(mask: Tensor | None, features: Tensor) -> Iterator[Tensor | None]:
    """Yield the same rows of a mask (h, w), or None for each."""
    for first, last in _row_ranges(features):
        yield None if mask is None else mask[first:last].to(features)


def _row_ranges(features: Tensor) -> Iterator[tuple[int, int]]:
    """Yield the first row, and the one after the last, of about `CHUNK` positions of features (1, C, h, w)."""
    height, width = features.shape[2:]
    step = max(1, (CHUNK if features.device.type == "cpu" else CARD_CHUNK) // max(1, width))
    return ((first, min(first + step, height)) for first in range(0, height, step))


def _is_known_zero(values: Tensor) -> bool:
    """Return True if all values are 0. Those on a card are not read, because it would have to be waited for."""
    return values.device.type == "cpu" and not values.any()


def moments_in_chunks(features: Tensor, masks: Tensor | None, areas: Sequence[float]) -> tuple[Moments, ...]:
    """Compute what `statistics.compute_moments_by_region` does, a few rows at a time, from masks of known areas."""
    if masks is None:
        return (_moments(features, None, features.shape[2] * features.shape[3]),)
    return tuple(_moments(features, mask, area) for mask, area in zip(masks, areas, strict=True))


def _moments(features: Tensor, mask: Tensor | None, area: float) -> Moments:
    channels, wide = features.shape[1], torch.promote_types(features.dtype, torch.float32)
    total, outer = features.new_zeros(channels, dtype=wide), features.new_zeros(channels, channels, dtype=wide)
    for chunk, weights in zip(_rows(features), _mask_rows(mask, features), strict=True):
        if weights is None and chunk.device.type == "cuda" and chunk.dtype is not wide:
            rows = chunk.reshape(-1, channels)
            total += rows.sum(dim=0, dtype=wide)
            outer += torch.mm(rows.T, rows, out_dtype=wide)
            continue
        rows = chunk.reshape(-1, channels).to(wide)
        if weights is None:
            weighted = rows
        elif _is_known_zero(weights):
            continue
        else:
            weighted = rows * weights.reshape(-1, 1).to(wide)
        total += weighted.sum(dim=0)
        outer.addmm_(weighted.T, rows)
    return Moments(area, total, outer)
