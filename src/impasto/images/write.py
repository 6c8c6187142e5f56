"""Tensors -> files, a strip at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyvips
import torch
from numpy.typing import NDArray
from torch import Tensor

from impasto.core.tensor_store import RamStore, TensorStore
from impasto.errors import OutputError
from impasto.files import atomic_write, require_writable
from impasto.images.decode import vips_errors
from impasto.images.metadata import attach

__all__ = ["jpeg", "require_output", "save"]

WRITABLE = {".png": 16, ".jpg": 8, ".jpeg": 8, ".webp": 8, ".tif": 16, ".tiff": 16}
"""Bits that each output format can hold."""

STRIP = 1 << 21
"""Pixels written at a time."""

LARGE, BIGTIFF_FROM = 1 << 27, 1 << 31
"""Bytes of pixels from which a TIFF has tiles, and is a BigTIFF."""

LONGEST_SIDE_PX = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}


def require_output(path: Path, *, bits: int = 8, height: int = 1, width: int = 1) -> None:
    """Raise `OutputError` now if `save` would later: unknown format, no folder, no permission."""
    suffix = path.suffix.lower()
    if suffix not in WRITABLE:
        raise OutputError(
            f"{path}: cannot write {suffix or 'a file without an ending'}. Use .png, .jpg, .webp or .tif."
        )
    if bits > WRITABLE[suffix]:
        raise OutputError(f"{path}: {suffix} holds {WRITABLE[suffix]} bits, not {bits}. Use .png or .tif, or 8 bits.")
    if max(height, width) > LONGEST_SIDE_PX.get(suffix, 10_000_000):
        raise OutputError(f"{path}: {suffix} cannot hold {width}x{height} px. Use .png or .tif.")
    require_writable(path)


def save(
    path: Path,
    pixels: Tensor,
    alpha: Tensor | None = None,
    *,
    bits: int = 8,
    quality: int = 95,
    note: str = "",
    store: TensorStore | None = None,
) -> None:
    """Write an image (1, 3, H, W) in [0, 1], with alpha where the format has it, else over white.

    `note` (ASCII) goes along as PNG text and XMP. A file that was there is replaced only by a whole
    one. Raises `OutputError`.
    """
    require_output(path, bits=bits, height=pixels.shape[2], width=pixels.shape[3])
    suffix = path.suffix.lower()
    if alpha is not None and suffix in (".jpg", ".jpeg"):
        pixels, alpha = torch.lerp(torch.ones_like(alpha), pixels, alpha), None
    array = _levels(pixels, alpha, bits, store or RamStore())
    failed = vips_errors(f"{path} could not be written", OutputError)
    with atomic_write(path) as temporary, temporary.open("wb") as file, failed:
        image = pyvips.Image.new_from_array(array).copy(interpretation="srgb" if bits == 8 else "rgb16")
        if note:
            attach(image, note)
        target = pyvips.Target.new_to_descriptor(file.fileno())
        image.write_to_target(target, suffix, **_save_options(suffix, quality, array.nbytes))


def jpeg(pixels: Tensor, *, quality: int = 85) -> bytes:
    """An image (1, 3, H, W) in [0, 1] as a JPEG to be shown somewhere."""
    image = pyvips.Image.new_from_array(_levels(pixels, None, 8, RamStore())).copy(interpretation="srgb")
    data: bytes = image.write_to_buffer(".jpg", Q=quality)
    return data


def _levels(pixels: Tensor, alpha: Tensor | None, bits: int, store: TensorStore) -> NDArray[np.uint8 | np.uint16]:
    """Pixels as whole numbers, (H, W, 3 or 4), a strip at a time."""
    height, width = pixels.shape[2:]
    planes = [plane.detach() for plane in (pixels, alpha) if plane is not None]
    levels = store.empty(
        (height, width, sum(plane.shape[1] for plane in planes)), torch.uint8 if bits == 8 else torch.uint16
    )
    step = max(1, STRIP // width)
    for top in range(0, height, step):
        strip = torch.cat([plane[0, :, top : top + step].cpu() for plane in planes])
        values = strip.clamp(0, 1).mul(2**bits - 1).round().permute(1, 2, 0)
        levels[top : top + step] = values.to(levels.dtype)
        store.release(levels, *planes)
    return levels.cpu().numpy()


def _save_options(suffix: str, quality: int, size: int) -> dict[str, Any]:
    if suffix in (".jpg", ".jpeg", ".webp"):
        return {"Q": quality}
    if suffix == ".png":
        return {"compression": 6}
    # Tiles let viewers open a part; beyond 4 GB only BigTIFF can hold it.
    large = {"tile": True, "tile_width": 256, "tile_height": 256} if size > LARGE else {}
    return {"compression": "deflate", "predictor": "horizontal", "bigtiff": size > BIGTIFF_FROM, **large}
