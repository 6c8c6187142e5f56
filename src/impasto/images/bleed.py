"""Bleed: colors of opaque parts that continue under transparent ones, as textures for 3-D models need.

A lookup at the edge of an island of a UV map mixes pixels of both sides. Where the outer ones have a color of their
own, a rim shows.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.core.tensor_store import TensorStore
from impasto.images.read import fill_transparent

__all__ = ["bleed_mask", "continue_painted", "extend_colors"]

VISIBLE, MOSTLY_OPAQUE = 1 / 255, 0.5
"""Alpha from which a pixel counts as visible, and from which its color counts as its own."""

OPAQUE = 1 - 1 / 512
"""Alpha from which a pixel counts as opaque: half a level of 8 bits below 1."""


def bleed_mask(alpha: Tensor, bleed_px: int) -> Tensor | None:
    """Return 1 where a pixel (1, 1, H, W) is visible or at most `bleed_px` from one that is; None: all are opaque."""
    if float(alpha.min()) >= OPAQUE:
        return None
    mask = (alpha >= VISIBLE).float()
    for size in ((2 * bleed_px + 1, 1), (1, 2 * bleed_px + 1)):
        mask = F.max_pool2d(mask, size, stride=1, padding=(size[0] // 2, size[1] // 2))
    return mask


def extend_colors(pixels: Tensor, alpha: Tensor, bleed_px: int) -> None:
    """Extend the colors of opaque parts by `bleed_px` in place, one ring of pixels after the other.

    Colors that were continued from afar would show the network an edge where two islands are close.
    """
    known = (alpha >= min(MOSTLY_OPAQUE, float(alpha.max()))).float()
    colors = pixels * known
    for _ in range(bleed_px):
        # Means over the 3x3 neighbors whose colors are known.
        share = F.avg_pool2d(known, 3, stride=1, padding=1)
        ring = (known == 0) & (share > 0)
        colors = torch.where(ring, F.avg_pool2d(colors, 3, stride=1, padding=1) / share.clamp(min=1e-6), colors)
        known = torch.where(ring, 1.0, known)
    own = torch.where(alpha >= MOSTLY_OPAQUE, 1.0, alpha)
    pixels.copy_(torch.where(known > 0, torch.lerp(colors, pixels, own), pixels))


def continue_painted(painted: Tensor, mask: Tensor, store: TensorStore) -> Tensor:
    """Return a painted image whose colors inside of `mask` (1, 1, H, W) continue outside of it."""
    pixels = store.empty(painted.shape, painted.dtype)
    torch.mul(painted, mask.to(painted), out=pixels)
    fill_transparent(pixels, mask.to(painted), store)
    return pixels
