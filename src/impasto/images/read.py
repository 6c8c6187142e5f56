"""Pictures -> tensors, a block of rows at a time. (width, height) order exists in this package only."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from impasto.config.run_options import MAX_MEGAPIXELS
from impasto.core.framing import Frame
from impasto.core.image import Picture, fit
from impasto.core.tensor_store import RamStore, TensorStore
from impasto.errors import ImageError
from impasto.images.decode import to_srgb
from impasto.images.opened_image import open_image

logger = logging.getLogger("impasto")

__all__ = ["crop_to_frame", "fill_transparent", "iter_rows", "load", "to_block"]

MIN_ALPHA = 1 / 255
"""Largest alpha below which a picture counts as wholly transparent."""

FILL_PX = 512
"""Long side at which the colors of transparent pixels are computed."""

BLOCK_PX = 1 << 21
"""Pixels decoded at a time."""


def load(
    source: Any,
    *,
    long_side_px: int | None = None,
    enlarge: bool = False,
    frame: Frame | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
    store: TensorStore | None = None,
) -> Picture:
    """Read a picture into `store`, resized to `long_side_px` or cropped and resized to `frame` (Lanczos 3).

    The orientation is applied, the embedded profile converted to sRGB, and alpha split off; transparent pixels
    continue the visible colors. Arrays are (H, W), (H, W, C) or (C, H, W), integers over their whole
    range or floats in [0, 1]. Floating-point files are linear light. Raises `ImageError`.
    """
    opened, store = open_image(source, max_megapixels=max_megapixels), store or RamStore()
    with opened.decode() as image:
        if "n-pages" in image.get_fields() and (count := image.get("n-pages")) > 1:
            logger.warning("%s holds %d pictures or pages. Only the first is used.", opened.label, count)
        image = to_srgb(image, opened.label)
        height, width = image.height, image.width
        if frame is not None:
            image = crop_to_frame(image, frame)
            height, width = frame.size
        elif long_side_px is not None:
            height, width = fit(height, width, long_side_px, enlarge=enlarge)
        image = _resize(image, height, width)
        pixels = store.empty((1, 3, image.height, image.width))
        alpha = store.empty((1, 1, image.height, image.width)) if image.bands == 4 else None
        for rows, values in iter_rows(image):
            if not np.isfinite(values).all():
                raise ImageError(f"{opened.label} holds NaN or infinity. Give finite pixels.")
            block = to_block(values)
            if alpha is None:
                pixels[0, :, rows] = block.clamp_(0, 1)
            else:
                pixels[0, :, rows], alpha[0, :, rows] = block[:3], block[3:]
                store.release(alpha)
            store.release(pixels)
    if alpha is not None:
        alpha.clamp_(0, 1)
        _require_visible(alpha, opened.label, frame)
        fill_transparent(pixels, alpha, store)
    return Picture(pixels, alpha, opened.name, opened.sha256, opened.peak)


def _require_visible(alpha: Tensor, label: str, frame: Frame | None) -> None:
    if float(alpha.max()) < MIN_ALPHA:
        part = "" if frame is None or frame.crop == frame.source else ", in the part that the print shows"
        raise ImageError(f"{label} is wholly transparent{part}. Give a picture with visible parts.")


def crop_to_frame(image: Any, frame: Frame) -> Any:
    """Return the part of a libvips image that a print shows."""
    top, left, height, width = frame.crop_of(image.height, image.width)
    return image.crop(left, top, width, height)


def iter_rows(image: Any) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Compute a libvips image a block of rows at a time, as (rows, W, bands)."""
    step = max(1, BLOCK_PX // image.width)
    whole = step >= image.height
    for top in range(0, image.height, step):
        count = min(step, image.height - top)
        part = image if whole else image.crop(0, top, image.width, count)
        yield slice(top, top + count), np.atleast_3d(part.numpy())


def to_block(values: NDArray[np.float32]) -> Tensor:
    """Turn rows of pixels (rows, W, bands) into a tensor (bands, rows, W)."""
    return torch.from_numpy(values.transpose(2, 0, 1).copy())


def _resize(image: Any, height: int, width: int) -> Any:
    """Resize a libvips image in sRGB. Alpha is multiplied into its colors."""
    # Colors of transparent pixels are arbitrary: without this they would bleed into visible ones.
    flat = image.premultiply(max_alpha=1.0) if image.hasalpha() else image
    if (height, width) != (image.height, image.width):
        flat = flat.resize(width / image.width, vscale=height / image.height, kernel="lanczos3")
    return flat.cast("float")


def fill_transparent(pixels: Tensor, alpha: Tensor, store: TensorStore) -> None:
    """Continue the visible colors where `alpha` is below 1. Colors are multiplied by alpha already.

    A flat color would leave an edge around what is visible, which the network would see.
    """
    height, width = alpha.shape[2:]
    size = fit(height, width, FILL_PX, enlarge=False)
    channels = [F.adaptive_avg_pool2d(pixels[:, channel : channel + 1], size) for channel in range(3)]
    colors = _continue_colors(torch.cat(channels, dim=1), F.adaptive_avg_pool2d(alpha, size))
    for channel in range(3):
        plane = pixels[:, channel : channel + 1]
        filling = F.interpolate(colors[:, channel : channel + 1], (height, width), mode="bilinear")
        plane.add_(filling.mul_(1 - alpha)).clamp_(0, 1)
        store.release(pixels)


def _continue_colors(colors: Tensor, alpha: Tensor) -> Tensor:
    """Return colors everywhere: those of transparent pixels are taken from ever coarser averages of visible ones.

    `colors` (1, 3, h, w) are multiplied by `alpha` (1, 1, h, w).
    """
    height, width = alpha.shape[2:]
    if height == width == 1:
        return colors / alpha.clamp(min=1e-6)
    coarse = [F.avg_pool2d(image, 2, ceil_mode=True) for image in (colors, alpha)]
    continued = _continue_colors(coarse[0], coarse[1])
    return colors + (1 - alpha) * F.interpolate(continued, (height, width), mode="bilinear")
