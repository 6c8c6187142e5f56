"""Color transfer: keep the content's colors in the painted picture, by either method of Gatys et al.

Laws: images are sRGB in [0, 1], (1, 3, H, W), before and after. Images may be larger than memory, so the work is
done on blocks of rows in a `TensorStore`.

Gatys et al. 2016, "Preserving Color in Neural Artistic Style Transfer" (1606.05897), describes both: match
the style's colors to the content's before painting, or paint the luminance only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from impasto.core.tensor_store import TensorStore
from impasto.images.oklab import from_oklab, to_oklab
from impasto.images.row_blocks import iter_row_blocks

__all__ = ["Transfer", "compute_luma", "match_colors", "match_luminance", "recolor", "to_grayscale", "transfer_chroma"]

Transfer = Literal["cholesky", "pca", "ot", "histogram"]

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in perceived brightness: ITU-R BT.601, the Y of YIQ."""

VARIANCE_FLOOR = 1e-5
"""Added to every covariance, because that of a gray picture is singular. (0.8 of 255) squared."""

LEAST_DEVIATION = 0.06
"""Of the lightness of recolored content. That of photos and paintings is .1 to .3; at 0, content would be one color."""

LEVELS = 4096
"""Bins of a histogram."""


def to_grayscale(store: TensorStore, image: Tensor) -> Tensor:
    """Return the luma of an image in all three channels, (1, 3, H, W)."""
    gray = store.empty(image.shape, image.dtype)
    for out, rows in iter_row_blocks(store, gray, image):
        out.copy_(compute_luma(rows).expand_as(rows))
    return gray


def match_luminance(store: TensorStore, style: Tensor, content: Tensor, visible: Tensor | None = None) -> Tensor:
    """Shift and scale a gray style image to the mean and deviation of the content's luma.

    `visible` is the style's alpha, by which its pixels are weighted.
    """
    mean, covariance = _mean_and_covariance(store, style, visible)
    target_mean, target = _mean_and_covariance(store, content)
    matrix = (target[0, 0] / covariance[0, 0]).sqrt() * torch.eye(3, dtype=mean.dtype)
    return _apply_affine(store, style, matrix, mean, target_mean)


def match_colors(
    store: TensorStore, style: Tensor, content: Tensor, method: Transfer, visible: Tensor | None = None
) -> Tensor:
    """Return the style image in the content's colors, clamped to [0, 1].

    All methods compute x -> A (x − μ_s) + μ_c, which gives the style the content's mean and covariance. A comes from
    Cholesky factors, from symmetric square roots (PCA), or is the map that moves colors least (optimal transport).
    `histogram` starts from the last and then matches each channel's distribution. Channels alone would not
    do: they would leave gray content colored. `visible` is the style's alpha, by which its pixels are weighted.
    """
    if method == "histogram":
        return _match_histograms(store, match_colors(store, style, content, "ot", visible), content, visible)
    mean, covariance = _mean_and_covariance(store, style, visible)
    target_mean, target = _mean_and_covariance(store, content)
    if method == "cholesky":
        matrix = torch.linalg.cholesky(target) @ torch.linalg.inv(torch.linalg.cholesky(covariance))
    elif method == "pca":
        matrix = _matrix_power(target, 0.5) @ _matrix_power(covariance, -0.5)
    else:
        matrix = _transport(covariance, target)
    return _apply_affine(store, style, matrix, mean, target_mean)


def recolor(store: TensorStore, content: Tensor, parts: Sequence[tuple[float, Tensor, Tensor | None]]) -> Tensor:
    """Return the content in the colors of paintings: their share, pixels, and the mask of their part or None.

    Optimal transport between Gaussians in Oklab: the affine map that gives the content the paintings' mean and
    covariance, and moves its colors least. Its lightness keeps a deviation of at least `LEAST_DEVIATION`, so that
    shapes can be seen in the color of a painting that has only one.
    """
    mean, covariance = _mean_and_covariance(store, content, convert=to_oklab)
    whole, target_mean, second = sum(share for share, _, _ in parts), torch.zeros(3), torch.zeros(3, 3)
    for share, pixels, mask in parts:
        own_mean, own = _mean_and_covariance(store, pixels, mask, convert=to_oklab)
        target_mean = target_mean + share / whole * own_mean
        second = second + share / whole * (own + torch.outer(own_mean, own_mean))
    target = second - torch.outer(target_mean, target_mean)
    target[0, 0].clamp_(min=LEAST_DEVIATION**2)
    return _apply_affine(
        store, content, _transport(covariance, target), mean, target_mean, convert=to_oklab, restore=from_oklab
    )


def transfer_chroma(store: TensorStore, image: Tensor, colors: Tensor) -> Tensor:
    """Return the luma of `image` with the chroma of `colors`.

    Out-of-gamut colors are desaturated, so that the luma is kept.
    """
    result = store.empty(image.shape, image.dtype)
    for out, rows, color_rows in iter_row_blocks(store, result, image, colors):
        gray = compute_luma(rows).clamp(0, 1)
        chroma = color_rows.to(rows.device) - compute_luma(color_rows).to(rows.device)
        room = torch.where(chroma > 0, 1 - gray, gray) / chroma.abs().clamp(min=1e-9)
        out.copy_((gray + room.amin(dim=1, keepdim=True).clamp(max=1) * chroma).clamp(0, 1))
    return result


def compute_luma(rows: Tensor) -> Tensor:
    """Compute the perceived brightness of each pixel, (1, 3, H, W) -> (1, 1, H, W)."""
    weights = torch.tensor(LUMA, dtype=rows.dtype, device=rows.device)
    return (rows * weights.view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def _same(colors: Tensor) -> Tensor:
    return colors


def _mean_and_covariance(
    store: TensorStore,
    image: Tensor,
    weights: Tensor | None = None,
    *,
    convert: Callable[[Tensor], Tensor] = _same,
) -> tuple[Tensor, Tensor]:
    """Return mean (3,) and covariance (3, 3) of an image's colors, in float64 on the CPU, after `convert`."""
    total, outer, count = torch.zeros(3, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64), 0.0
    for rows, *weighting in iter_row_blocks(store, image, *(() if weights is None else (weights,))):
        colors = convert(rows).flatten(2)[0].cpu().double()
        weighted = colors * weighting[0].flatten().cpu().double() if weighting else colors
        total += weighted.sum(dim=1)
        outer += weighted @ colors.T
        count += float(weighting[0].sum(dtype=torch.float64)) if weighting else colors.shape[1]
    mean = total / count
    return mean, outer / count - torch.outer(mean, mean) + VARIANCE_FLOOR * torch.eye(3, dtype=torch.float64)


def _transport(covariance: Tensor, target: Tensor) -> Tensor:
    """Return the matrix that takes one covariance to another and moves points least: optimal transport."""
    root, inverse = _matrix_power(covariance, 0.5), _matrix_power(covariance, -0.5)
    return inverse @ _matrix_power(root @ target @ root, 0.5) @ inverse


def _matrix_power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    power: Tensor = (vectors * values.clamp(min=1e-12) ** exponent) @ vectors.T
    return power


def _apply_affine(
    store: TensorStore,
    image: Tensor,
    matrix: Tensor,
    mean: Tensor,
    target_mean: Tensor,
    *,
    convert: Callable[[Tensor], Tensor] = _same,
    restore: Callable[[Tensor], Tensor] = _same,
) -> Tensor:
    """Apply x -> matrix (x − mean) + target_mean at every pixel, between `convert` and `restore`, and clamp."""
    shift = target_mean - matrix @ mean
    result = store.empty(image.shape, image.dtype)
    for out, rows in iter_row_blocks(store, result, image):
        colors = convert(rows)
        moved = torch.einsum("ij,bjhw->bihw", matrix.to(colors), colors) + shift.to(colors).view(1, 3, 1, 1)
        out.copy_(restore(moved).clamp_(0, 1))
    return result


def _match_histograms(store: TensorStore, style: Tensor, content: Tensor, visible: Tensor | None) -> Tensor:
    style_cdf = _cumulative_histograms(store, style, visible)
    content_cdf = _cumulative_histograms(store, content)
    levels = torch.linspace(0, 1, LEVELS + 1)
    result = store.empty(style.shape, style.dtype)
    for out, rows in iter_row_blocks(store, result, style):
        for channel in range(3):
            # Through the style's distribution, and back through the content's. A level counts with the middle of
            # its bin, so that a flat color maps to the same share in every channel.
            level = (rows[:, channel].cpu() * LEVELS).long().clamp(0, LEVELS - 1)
            share = 0.5 * (style_cdf[channel][level] + style_cdf[channel][level + 1])
            out[:, channel] = _interpolate(share, content_cdf[channel], levels).to(out)
    return result


def _cumulative_histograms(store: TensorStore, image: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return each channel's share of pixels up to each level, (3, LEVELS + 1), strictly rising from 0 to 1."""
    counts = torch.zeros(3, LEVELS, dtype=torch.float64)
    for rows, *weighting in iter_row_blocks(store, image, *(() if weights is None else (weights,))):
        for channel in range(3):
            values = rows[:, channel].cpu().float()
            if weighting:
                level = (values * LEVELS).long().clamp(0, LEVELS - 1).flatten()
                counts[channel] += torch.bincount(level, weighting[0].flatten().cpu().double(), LEVELS)
            else:
                counts[channel] += torch.histc(values, LEVELS, 0, 1).double()
    # No bin is empty, so that the inverse is a function.
    counts += 1e-6 * counts.sum(dim=1, keepdim=True)
    shares = counts.cumsum(dim=1) / counts.sum(dim=1, keepdim=True)
    return torch.cat([torch.zeros(3, 1, dtype=shares.dtype), shares], dim=1).float()


def _interpolate(x: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    """Evaluate the piecewise linear function through (xs, ys) at x, like numpy.interp."""
    right = torch.searchsorted(xs, x.contiguous()).clamp(1, len(xs) - 1)
    left = right - 1
    part = (x - xs[left]) / (xs[right] - xs[left]).clamp(min=1e-12)
    return ys[left] + part.clamp(0, 1) * (ys[right] - ys[left])
