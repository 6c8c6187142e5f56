"""Pictures as tensors, and their sizes: what the method knows of a picture.

Laws: a tensor image is float32, sRGB in [0, 1], (1, 3, H, W); its alpha is (1, 1, H, W). Sizes are
(height, width) here and everywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

__all__ = ["Picture", "fit", "resize", "thumbnail"]


@dataclass(frozen=True)
class Picture:
    """A loaded image, what it was called, and the SHA-256 of the file or array it came from."""

    pixels: Tensor
    alpha: Tensor | None
    name: str | None
    sha256: str


def fit(height: int, width: int, long_side_px: int, *, enlarge: bool) -> tuple[int, int]:
    """The size with this long side and the same aspect, no side below 1; never larger unless `enlarge`."""
    scale = long_side_px / max(height, width)
    if scale >= 1 and not enlarge:
        return height, width
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """An image (1, C, H, W) at another size: bicubic, antialiased. Values may overshoot a little."""
    if image.shape[2:] == (height, width):
        return image
    resized = image.new_empty((1, image.shape[1], height, width))
    for channel in range(image.shape[1]):  # one at a time needs a third of the memory
        resized[:, channel : channel + 1] = F.interpolate(
            image[:, channel : channel + 1], (height, width), mode="bicubic", antialias=True, align_corners=False
        )
    return resized


def thumbnail(image: Tensor, long_side_px: int, *, enlarge: bool = False) -> Tensor:
    """An image made smaller where it is larger than this; with `enlarge` larger where it is smaller."""
    return resize(image, *fit(image.shape[2], image.shape[3], long_side_px, enlarge=enlarge)).clamp(0, 1)
