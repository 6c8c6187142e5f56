"""Whose colors the picture has: the style's, as the method gives them, or the content's.

Laws: images are sRGB in [0, 1], (1, 3, H, W), and what comes out is too. Colors are worked on a strip of
rows at a time, in a `TensorStore`, for a picture may be larger than memory.

Gatys et al. 2016, "Preserving Color in Neural Artistic Style Transfer" (1606.05897), has both ways:
matching the style's colors to the content's before, and painting luminance alone.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from impasto.core.tensor_store import TensorStore
from impasto.images.row_blocks import iter_row_blocks

__all__ = ["Transfer", "luma", "luminance", "match_luminance", "matched", "with_colors_of"]

Transfer = Literal["cholesky", "pca", "ot", "histogram"]

LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue in brightness as it is seen: ITU-R BT.601, the Y of YIQ."""

LEAST_VARIANCE = 1e-5
"""Added to every covariance: gray pictures have singular ones. (0.8 of 255) squared."""

LEVELS = 4096
"""Of a histogram."""


def luminance(store: TensorStore, image: Tensor) -> Tensor:
    """The brightness of an image as a gray one, (1, 3, H, W)."""
    gray = store.empty(image.shape, image.dtype)
    for out, rows in iter_row_blocks(store, gray, image):
        out.copy_(luma(rows).expand_as(rows))
    return gray


def match_luminance(store: TensorStore, style: Tensor, content: Tensor) -> Tensor:
    """A gray style image shifted and scaled to the mean and deviation of the content's brightness."""
    (mean, spread), (wanted, wanted_spread) = (_mean_and_covariance(store, image) for image in (style, content))
    factor = (wanted_spread[0, 0] / spread[0, 0]).sqrt() * torch.eye(3, dtype=mean.dtype)
    return _mapped(store, style, factor, mean, wanted)


def matched(store: TensorStore, style: Tensor, content: Tensor, how: Transfer) -> Tensor:
    """The style image in the content's colors: a new image, clamped to [0, 1].

    Each is x -> A (x − μ_s) + μ_c with the content's mean and covariance afterwards: A from Cholesky factors,
    from symmetric roots (PCA), or the one that moves colors least (optimal transport). `histogram` goes on from the
    last, and gives each channel the content's distribution too: channels alone would leave gray content colored.
    """
    if how == "histogram":
        return _histograms_matched(store, matched(store, style, content, "ot"), content)
    (mean, spread), (wanted, wanted_spread) = (_mean_and_covariance(store, image) for image in (style, content))
    if how == "cholesky":
        change = torch.linalg.cholesky(wanted_spread) @ torch.linalg.inv(torch.linalg.cholesky(spread))
    elif how == "pca":
        change = _power(wanted_spread, 0.5) @ _power(spread, -0.5)
    else:
        root, inverse = _power(spread, 0.5), _power(spread, -0.5)
        change = inverse @ _power(root @ wanted_spread @ root, 0.5) @ inverse
    return _mapped(store, style, change, mean, wanted)


def with_colors_of(store: TensorStore, image: Tensor, colors: Tensor) -> Tensor:
    """The brightness of `image` with the hue of `colors`: a new image.

    Where a color is not to be had at that brightness it is paled until it is, so that brightness stays.
    """
    painted = store.empty(image.shape, image.dtype)
    for out, rows, wanted in iter_row_blocks(store, painted, image, colors):
        gray = luma(rows).clamp(0, 1)
        chroma = wanted.to(rows.device) - luma(wanted).to(rows.device)
        room = torch.where(chroma > 0, 1 - gray, gray) / chroma.abs().clamp(min=1e-9)
        out.copy_((gray + room.amin(dim=1, keepdim=True).clamp(max=1) * chroma).clamp(0, 1))
    return painted


def luma(rows: Tensor) -> Tensor:
    """The brightness of each pixel, (1, 3, H, W) -> (1, 1, H, W)."""
    weights = torch.tensor(LUMA, dtype=rows.dtype, device=rows.device)
    return (rows * weights.view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def _mean_and_covariance(store: TensorStore, image: Tensor) -> tuple[Tensor, Tensor]:
    """(3,) and (3, 3) of an image's colors, in float64 on the CPU."""
    total, outer, count = torch.zeros(3, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64), 0
    for (rows,) in iter_row_blocks(store, image):
        colors = rows.flatten(2)[0].cpu().double()
        total += colors.sum(dim=1)
        outer += colors @ colors.T
        count += colors.shape[1]
    mean = total / count
    return mean, outer / count - torch.outer(mean, mean) + LEAST_VARIANCE * torch.eye(3, dtype=torch.float64)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    power: Tensor = (vectors * values.clamp(min=1e-12) ** exponent) @ vectors.T
    return power


def _mapped(store: TensorStore, image: Tensor, change: Tensor, mean: Tensor, wanted: Tensor) -> Tensor:
    """x -> change (x − mean) + wanted at every pixel, clamped."""
    shift = wanted - change @ mean
    found = store.empty(image.shape, image.dtype)
    for out, rows in iter_row_blocks(store, found, image):
        moved = torch.einsum("ij,bjhw->bihw", change.to(rows), rows) + shift.to(rows).view(1, 3, 1, 1)
        out.copy_(moved.clamp_(0, 1))
    return found


def _histograms_matched(store: TensorStore, style: Tensor, content: Tensor) -> Tensor:
    given, wanted = (_distribution(store, image) for image in (style, content))
    levels = torch.linspace(0, 1, LEVELS + 1)
    found = store.empty(style.shape, style.dtype)
    for out, rows in iter_row_blocks(store, found, style):
        for channel in range(3):
            # Up through the style's distribution, down through the content's. A level's share is the middle of its
            # own, so that a single color has the same in every channel.
            level = (rows[:, channel].cpu() * LEVELS).long().clamp(0, LEVELS - 1)
            share = 0.5 * (given[channel][level] + given[channel][level + 1])
            out[:, channel] = _interpolated(share, wanted[channel], levels).to(out)
    return found


def _distribution(store: TensorStore, image: Tensor) -> Tensor:
    """For each channel the share of pixels up to each level, (3, LEVELS + 1), strictly rising from 0 to 1."""
    counts = torch.zeros(3, LEVELS, dtype=torch.float64)
    for (rows,) in iter_row_blocks(store, image):
        for channel in range(3):
            counts[channel] += torch.histc(rows[:, channel].cpu().float(), LEVELS, 0, 1).double()
    # A little everywhere, so that the way down is a function.
    counts += 1e-6 * counts.sum(dim=1, keepdim=True)
    shares = counts.cumsum(dim=1) / counts.sum(dim=1, keepdim=True)
    return torch.cat([torch.zeros(3, 1, dtype=shares.dtype), shares], dim=1).float()


def _interpolated(x: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    """The piecewise linear function through (xs, ys) at x, as numpy.interp."""
    right = torch.searchsorted(xs, x.contiguous()).clamp(1, len(xs) - 1)
    left = right - 1
    part = (x - xs[left]) / (xs[right] - xs[left]).clamp(min=1e-12)
    return ys[left] + part.clamp(0, 1) * (ys[right] - ys[left])
