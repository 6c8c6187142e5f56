"""Content, style and smoothness as numbers: pure functions of tensors.

Laws: each returns a scalar of at least float32. A `scale` divides a squared error by the energy of what
it is measured against, so that 0.1 means that a tenth of the energy is off; a scale of 1 leaves it as
published.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.core.statistics import to_float32
from impasto.core.tensor_store import TensorStore

__all__ = [
    "LAPLACIAN_POOL",
    "ContentNorm",
    "Norm",
    "content_error",
    "content_loss",
    "energy",
    "laplacian",
    "pooled",
    "style_loss",
    "total_variation",
    "variation",
]

Norm = Literal["squared", "absolute", "mean-squared"]
ContentNorm = Literal["squared", "scaled"]

SMALL = 1e-8
"""Keeps a quotient finite where nothing is wrong at all."""

ROWS = 256
"""Pooled at a time: a multiple of four."""

LAPLACIAN_POOL = 4
"""Pixels that are averaged before the Laplacian is taken: it is lines that it should hold, not grain."""


def energy(parts: Iterable[Tensor]) -> float:
    """The mean square of a target given in parts: what relative losses are measured in."""
    total, count = 0.0, 0
    for part in parts:
        total += float(to_float32(part).square().sum())
        count += part.numel()
    return total / count


def content_error(features: Tensor, target: Tensor) -> Tensor:
    """Mean squared and mean absolute difference of two feature maps (1, C, h, w): (2,), additive over positions."""
    difference = to_float32(features) - to_float32(target)
    return torch.stack([difference.square().mean(), difference.abs().mean()])


def content_loss(error: Tensor, norm: ContentNorm = "squared", *, scale: float = 1.0) -> Tensor:
    """Mean squared error over `scale`, from what `content_error` gave.

    Gatys et al. 2016, eq. 1, is half the sum instead: a constant factor. "scaled" divides by the mean absolute
    error, as style-transfer-pytorch does, so that the gradient's size hardly depends on how far off it is.
    """
    return error[0] / (scale if norm == "squared" else scale**0.5 * (error[1] + SMALL))


def style_loss(statistic: Tensor, target: Tensor) -> Tensor:
    """Mean squared error between two style statistics of one shape, such as Gram matrices.

    Gatys et al. 2016, eq. 4, has the same up to the constant 1/(4 h² w²) of its unscaled Gram matrices.
    """
    return (to_float32(statistic) - to_float32(target)).square().mean()


def pooled(image: Tensor, store: TensorStore | None = None) -> Tensor:
    """The means of 4 by 4 pixels, (1, 3, H, W) -> (1, 3, H // 4, W // 4), what the Laplacian is taken of."""
    rows = []
    whole = image[:, :, : image.shape[2] // LAPLACIAN_POOL * LAPLACIAN_POOL]
    for strip in torch.split(whole, ROWS, dim=2):
        rows.append(F.avg_pool2d(to_float32(strip), LAPLACIAN_POOL))
        if store is not None:
            store.release(strip)
    return torch.cat(rows, dim=2)


def laplacian(x: Tensor) -> Tensor:
    """Where a `pooled` image bends, (1, 3, h, w): its lines and edges, by the five-point Laplacian.

    Li et al. 2017 (1707.01253) hold content by the squared difference of these.
    """
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    across = padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return across + padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] - 4 * x


def total_variation(image: Tensor, norm: Norm = "squared") -> Tensor:
    """Differences of neighboring pixels, squared or absolute, across and down, summed: of an image (1, 3, H, W).

    Mahendran & Vedaldi 2014 (1412.0035), β = 2 or 1. Divided by the image's numel, size does not change it.
    """
    return variation(image, 3, norm) + variation(image, 2, norm)


def variation(image: Tensor, dim: int, norm: Norm) -> Tensor:
    """The same along one dimension."""
    difference = to_float32(image).diff(dim=dim)
    return (difference.abs() if norm == "absolute" else difference.square()).sum()
