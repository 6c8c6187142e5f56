"""Losses: pure functions that turn tensors into numbers.

Laws: each returns a scalar of at least float32. A `scale` divides a squared error by the energy of its target, so
that 0.1 means that 10 % of the energy is off. A scale of 1 gives the published loss.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.config.wrap import SIDES, Dims
from impasto.core.image import pad_sides
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
    "pool_image",
    "statistic_error",
    "total_variation",
    "variation",
]

Norm = Literal["squared", "absolute", "mean-squared"]
ContentNorm = Literal["squared", "scaled"]

EPSILON = 1e-8
"""Keeps a quotient finite where the error is zero."""

ROWS = 256
"""Rows that are pooled at a time, a multiple of `LAPLACIAN_POOL`."""

LAPLACIAN_POOL = 4
"""Side in pixels of the averages that the Laplacian is taken of: it preserves lines, not grain."""


def energy(chunks: Iterable[Tensor]) -> float:
    """Compute the mean square of a target given in chunks: the unit of relative losses."""
    total, count = 0.0, 0
    for chunk in chunks:
        total += float(to_float32(chunk).square().sum())
        count += chunk.numel()
    return total / count


def content_error(features: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Compute the mean squared and mean absolute difference of two feature maps (1, C, h, w), -> (2,).

    Means over positions, whose errors `weights`, (h, w), multiply: those of tiles add up by their shares of positions.
    """
    difference = to_float32(features) - to_float32(target)
    weighted = difference if weights is None else difference * weights.to(difference)
    return torch.stack([(weighted * difference).mean(), weighted.abs().mean()])


def content_loss(error: Tensor, norm: ContentNorm = "squared", *, scale: float = 1.0) -> Tensor:
    """Return the mean squared error over `scale`, from the result of `content_error`.

    Gatys et al. 2016, eq. 1, is half the sum: a constant factor. "scaled" divides by the mean absolute error,
    as style-transfer-pytorch does, so that the size of the gradient hardly depends on the size of the error.
    """
    return error[0] / (scale if norm == "squared" else scale**0.5 * (error[1] + EPSILON))


def statistic_error(statistic: Tensor, target: Tensor) -> Tensor:
    """Compute the mean squared error between two style statistics, such as Gram matrices.

    Gatys et al. 2016, eq. 4, up to the constant 1/(4 h² w²) of its unscaled Gram matrices.
    """
    return (to_float32(statistic) - to_float32(target)).square().mean()


def pool_image(image: Tensor, store: TensorStore | None = None) -> Tensor:
    """Average 4×4 pixels, (1, 3, H, W) -> (1, 3, H // 4, W // 4), as input of the Laplacian."""
    pooled = []
    whole = image[:, :, : image.shape[2] // LAPLACIAN_POOL * LAPLACIAN_POOL]
    for rows in torch.split(whole, ROWS, dim=2):
        pooled.append(F.avg_pool2d(to_float32(rows), LAPLACIAN_POOL))
        if store is not None:
            store.release(rows)
    return torch.cat(pooled, dim=2)


def laplacian(pooled: Tensor, wrap: Dims = ()) -> Tensor:
    """Apply the five-point Laplacian to a pooled image (1, 3, h, w): it responds to lines and edges.

    Li et al. 2017 (1707.01253) preserve content by the squared difference of two of these.
    """
    edges = tuple(dim for dim in SIDES if dim not in wrap)
    padded = pad_sides(pad_sides(pooled, 1, wrap), 1, edges, "replicate")
    across = padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return across + padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] - 4 * pooled


def total_variation(image: Tensor, norm: Norm = "squared", wrap: Dims = ()) -> Tensor:
    """Sum the squared or absolute differences of neighboring pixels of an image (1, 3, H, W).

    Mahendran & Vedaldi 2014 (1412.0035), β = 2 or 1. Divide by the image's numel to compare sizes. Along the
    dimensions `wrap`, the last and the first pixel are neighbors too.
    """
    return variation(image, 3, norm, wraps=3 in wrap) + variation(image, 2, norm, wraps=2 in wrap)


def variation(image: Tensor, dim: int, norm: Norm, *, wraps: bool = False) -> Tensor:
    """Sum the differences of neighboring pixels along one dimension."""
    image = to_float32(image)
    difference = image.diff(dim=dim, append=image.narrow(dim, 0, 1) if wraps else None)
    return (difference.abs() if norm == "absolute" else difference.square()).sum()
