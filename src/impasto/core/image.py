"""Images as tensors, and their sizes.

Laws: an image is float32, sRGB in [0, 1], (1, 3, H, W); its alpha channel is (1, 1, H, W). Sizes are
(height, width) in every module but `images`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

__all__ = ["Picture", "fit", "resize", "thumbnail"]


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


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Resize an image (1, C, H, W): bicubic, antialiased. Values may leave [0, 1] slightly."""
    if image.shape[2:] == (height, width):
        return image
    resized = image.new_empty((1, image.shape[1], height, width))
    for channel in range(image.shape[1]):  # one at a time takes a third of the memory
        resized[:, channel : channel + 1] = F.interpolate(
            image[:, channel : channel + 1], (height, width), mode="bicubic", antialias=True, align_corners=False
        )
    return resized


def thumbnail(image: Tensor, long_side_px: int, *, enlarge: bool = False) -> Tensor:
    """Shrink an image to fit a long side; with `enlarge`, also scale up to it."""
    return resize(image, *fit(image.shape[2], image.shape[3], long_side_px, enlarge=enlarge)).clamp(0, 1)
