"""Files, arrays and PIL images -> tensors, a strip at a time. libvips' (width, height) stays in this room."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from impasto.core.image import Picture, fit
from impasto.core.tensor_store import RamStore, TensorStore
from impasto.errors import ImageError
from impasto.images.decode import name_of, open_image, to_srgb, vips_errors

__all__ = ["dimensions", "load", "rows_of", "sha256_of"]

STRIP = 1 << 21
"""Pixels read at a time."""


def load(
    source: Any,
    *,
    long_side_px: int | None = None,
    enlarge: bool = False,
    max_megapixels: float = 250.0,
    store: TensorStore | None = None,
) -> Picture:
    """Read a picture and make its long side `long_side_px`, antialiased (Lanczos 3), into `store`.

    Orientation is applied, the embedded profile converted to sRGB, alpha split off; what lies under it
    is flattened over the mean of what can be seen. Arrays are (H, W), (H, W, C) or (C, H, W), integer
    over their whole range or float in [0, 1]. Floating-point files are linear light. Raises `ImageError`.
    """
    name, store = name_of(source), store or RamStore()
    with vips_errors(f"{name or 'The picture'} cannot be read as an image"):
        image, sha256 = open_image(source, max_megapixels)
        image = to_srgb(image)
        height, width = image.height, image.width
        if long_side_px is not None:
            height, width = fit(height, width, long_side_px, enlarge=enlarge)
        # Colour under full transparency means nothing, so it must not bleed into what is seen.
        flat = image.premultiply(max_alpha=1.0) if image.hasalpha() else image
        if (height, width) != (image.height, image.width):
            flat = flat.resize(width / image.width, vscale=height / image.height, kernel="lanczos3")
        planes = [store.empty((1, 3, height, width))]
        if flat.bands == 4:
            planes.append(store.empty((1, 1, height, width)))
        for rows, values in rows_of(flat.cast("float")):
            if not np.isfinite(values).all():
                raise ImageError(f"{name or 'The picture'} holds NaN or infinity. Give finite pixels.")
            strip = torch.from_numpy(values.transpose(2, 0, 1).copy())
            if len(planes) == 1:
                strip.clamp_(0, 1)
            for plane, part in zip(planes, (strip[:3], strip[3:]), strict=False):
                plane[0, :, rows] = part
                store.release(plane)
    if len(planes) == 1:
        return Picture(planes[0], None, name, sha256)
    pixels, alpha = planes
    alpha.clamp_(0, 1)
    seen = alpha.sum().clamp(min=1e-6)
    for channel in range(3):
        plane = pixels[:, channel : channel + 1]
        mean_color = (plane.sum() / seen).clamp(0, 1)
        plane.add_((1 - alpha) * mean_color).clamp_(0, 1)
        store.release(pixels)
    return Picture(pixels, alpha, name, sha256)


def rows_of(image: Any) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """The rows of a libvips image, computed a strip at a time, as (rows, W, bands)."""
    step = max(1, STRIP // image.width)
    whole = step >= image.height
    for top in range(0, image.height, step):
        count = min(step, image.height - top)
        part = image if whole else image.crop(0, top, image.width, count)
        yield slice(top, top + count), np.atleast_3d(part.numpy())


def dimensions(source: Any, *, max_megapixels: float = 250.0) -> tuple[int, int]:
    """(height, width) of a picture as `load` would give it, without decoding it. Raises `ImageError`."""
    with vips_errors(f"{name_of(source) or 'The picture'} cannot be read as an image"):
        image, _ = open_image(source, max_megapixels)
        upright = image.autorot() if "orientation" in image.get_fields() else image
        return upright.height, upright.width


def sha256_of(source: Any) -> str:
    """What `load` would call the SHA-256 of a picture, without decoding it. Raises `ImageError`."""
    with vips_errors(f"{name_of(source) or 'The picture'} cannot be read as an image"):
        return open_image(source, max_megapixels=float("inf"))[1]
