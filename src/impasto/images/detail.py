"""Local detail of a picture, which tells strokes from flat colors."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from impasto.images.decode import to_srgb
from impasto.images.oklab import to_oklab
from impasto.images.opened_image import OpenedImage

__all__ = ["FLAT_DETAIL", "is_flat", "measure_detail"]

FLAT_DETAIL = 0.025
"""Detail below which a painting counts as flat. Fields of color have up to .015, photos and paintings from .035 on."""

LONG_SIDE_PX, WINDOW_PX = 256, 8


def is_flat(picture: OpenedImage) -> bool:
    """Return True for fields of color: large areas without strokes or texture. Raises `ImageError`."""
    return measure_detail(picture) < FLAT_DETAIL


def measure_detail(picture: OpenedImage) -> float:
    """Return the mean standard deviation of Oklab colors in 8×8 windows, at 256 px. Transparent parts do not count.

    Raises `ImageError`.
    """
    with picture.decode() as image:
        image = to_srgb(image, picture.label)
        image = image.resize(min(1, LONG_SIDE_PX / max(picture.size)), kernel="lanczos3")
        values = torch.from_numpy(np.atleast_3d(image.numpy()).transpose(2, 0, 1).copy())[None].float().nan_to_num()
    colors, alpha = to_oklab(values[:, :3].clamp(0, 1)), values[:, 3:].clamp(0, 1)
    window = min(WINDOW_PX, *colors.shape[2:])
    means = F.avg_pool2d(colors, window)
    variance = (F.avg_pool2d(colors.square(), window) - means.square()).sum(dim=1, keepdim=True)
    deviation = variance.clamp(min=0).sqrt()
    visible = F.avg_pool2d(alpha, window) if alpha.numel() else torch.ones_like(deviation)
    return float((visible * deviation).sum() / visible.sum().clamp(min=1e-6))
