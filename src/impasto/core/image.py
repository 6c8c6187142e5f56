"""Images as tensors, and their sizes.

Laws: an image is float32, sRGB in [0, 1], (1, 3, H, W); its alpha channel is (1, 1, H, W). Sizes are
(height, width) in every module but `images`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.config.wrap import Dims

__all__ = ["Picture", "fit", "pad_sides", "resize", "thumbnail", "wrap_margin"]


KERNEL_PX = 3
"""Reach of the bicubic kernel in pixels of the smaller image, and one more."""


@dataclass(frozen=True)
class Picture:
    """A loaded image, its name, and the SHA-256 of the file or array that it came from.

    `peak` is the linear light that the tone curve of an OpenEXR file takes to 1.
    """

    pixels: Tensor
    alpha: Tensor | None
    name: str | None
    sha256: str
    peak: float = 1.0


def fit(height: int, width: int, long_side_px: int, *, enlarge: bool) -> tuple[int, int]:
    """Scale a size to this long side, keeping the aspect; never larger unless `enlarge`."""
    scale = long_side_px / max(height, width)
    if scale >= 1 and not enlarge:
        return height, width
    return max(1, round(height * scale)), max(1, round(width * scale))


def pad_sides(image: Tensor, px: int, dims: Dims, mode: str = "circular") -> Tensor:
    """Extend an image (1, C, H, W) by `px` at both ends of some dimensions."""
    across, down = (px if dim in dims else 0 for dim in (3, 2))
    return F.pad(image, (across, across, down, down), mode=mode)


def resize(image: Tensor, height: int, width: int, wrap: Dims = ()) -> Tensor:
    """Resize an image (1, C, H, W): bicubic, antialiased. Values may leave [0, 1] slightly.

    Along the dimensions `wrap` its edges meet before and after.
    """
    if image.shape[2:] == (height, width):
        return image
    resized = image.new_empty((1, image.shape[1], height, width))
    for channel in range(image.shape[1]):  # one at a time takes a third of the memory
        own = image[:, channel : channel + 1]
        if wrap:
            for dim, size in ((2, height), (3, width)):
                own = _resize_side(own, dim, size, wraps=dim in wrap)
        else:
            own = _interpolate(own, height, width)
        resized[:, channel : channel + 1] = own
    return resized


def wrap_margin(before: int, after: int, reach_px: int) -> int:
    """Return how many pixels of the other end to put beside a side that wraps, before it is resized.

    `reach_px` is the reach of the filter in pixels of the smaller image, and one more.
    """
    # Only a margin that becomes whole pixels leaves the image between them where it is.
    unit_px = before // math.gcd(before, after)
    return -(-math.ceil(reach_px * max(1, before / after)) // unit_px) * unit_px


def _interpolate(image: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(image, (height, width), mode="bicubic", antialias=True, align_corners=False)


def _resize_side(image: Tensor, dim: int, size: int, *, wraps: bool) -> Tensor:
    """Resize one dimension of an image; if it wraps, between copies of the other end."""
    before = image.shape[dim]
    if size == before:
        return image
    margin_px = after_px = 0
    if wraps:
        margin_px = wrap_margin(before, size, KERNEL_PX)
        after_px = margin_px * size // before
        image = image.index_select(dim, torch.arange(-margin_px, before + margin_px, device=image.device) % before)
    sides = [size + 2 * after_px if dim == side else image.shape[side] for side in (2, 3)]
    return _interpolate(image, *sides).narrow(dim, after_px, size)


def thumbnail(image: Tensor, long_side_px: int, *, enlarge: bool = False) -> Tensor:
    """Shrink an image to fit a long side; with `enlarge`, also scale up to it."""
    return resize(image, *fit(image.shape[2], image.shape[3], long_side_px, enlarge=enlarge)).clamp(0, 1)
