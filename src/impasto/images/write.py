"""Tensors -> files, a block of rows at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyvips
import torch
from numpy.typing import NDArray
from torch import Tensor

from impasto.config.print_size import MM_PER_INCH
from impasto.core.tensor_store import RamStore, TensorStore
from impasto.errors import OutputError
from impasto.files import atomic_write, require_writable
from impasto.images.decode import vips_errors
from impasto.images.metadata import attach_note

__all__ = ["encode_jpeg", "quantize", "require_output", "save"]

FORMAT_BITS = {".png": 16, ".jpg": 8, ".jpeg": 8, ".webp": 8, ".tif": 16, ".tiff": 16}
"""Output formats, and the most bits that each can hold."""

BLOCK_PX = 1 << 21
"""Pixels converted at a time."""

TILED_TIFF_BYTES, BIGTIFF_BYTES = 1 << 27, 1 << 31
"""Bytes of pixels above which a TIFF has tiles, and is a BigTIFF."""

MAX_SIDE_PX = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}
"""Most pixels a side, where a format has a limit that a picture can reach."""


def require_output(path: Path, *, bits: int = 8, height: int = 1, width: int = 1) -> None:
    """Raise `OutputError` if `save` could not write an image of this size to `path`, before it is painted."""
    suffix = path.suffix.lower()
    if suffix not in FORMAT_BITS:
        given = suffix or "a name without an extension"
        raise OutputError(f"{path} cannot be written: {given} is not supported. Use .png, .jpg, .webp or .tif.")
    if bits > FORMAT_BITS[suffix]:
        limit = f"{suffix} holds {FORMAT_BITS[suffix]} bits, not {bits}"
        raise OutputError(f"{path} cannot be written: {limit}. Use .png or .tif, or --bits 8.")
    if suffix in MAX_SIDE_PX and max(height, width) > MAX_SIDE_PX[suffix]:
        limit = f"{suffix} holds at most {MAX_SIDE_PX[suffix]} px a side, not {width}x{height}"
        raise OutputError(f"{path} cannot be written: {limit}. Use .png or .tif.")
    require_writable(path)


def save(
    path: Path,
    pixels: Tensor,
    alpha: Tensor | None = None,
    *,
    bits: int = 8,
    quality: int = 95,
    dpi: float = 300,
    note: str = "",
    store: TensorStore | None = None,
) -> None:
    """Write an image (1, 3, H, W) in [0, 1] and its alpha; JPEG has no alpha and is flattened over white.

    The file has an sRGB profile and, unless it is a WebP, its resolution. `note` (ASCII) is stored as PNG text and XMP.
    An existing file is replaced only by a complete one.
    Raises `OutputError`.
    """
    require_output(path, bits=bits, height=pixels.shape[2], width=pixels.shape[3])
    suffix = path.suffix.lower()
    if alpha is not None and suffix in (".jpg", ".jpeg"):
        pixels, alpha = torch.lerp(torch.ones_like(alpha), pixels, alpha), None
    array = quantize(pixels, alpha, bits, store or RamStore())
    errors = vips_errors(f"{path} could not be written", OutputError)
    with atomic_write(path) as temporary, temporary.open("wb") as file, errors:
        image = pyvips.Image.new_from_array(array).copy(
            interpretation="srgb" if bits == 8 else "rgb16", xres=dpi / MM_PER_INCH, yres=dpi / MM_PER_INCH
        )
        if note:
            attach_note(image, note)
        target = pyvips.Target.new_to_descriptor(file.fileno())
        image.write_to_target(target, suffix, profile="srgb", **_save_options(suffix, quality, array.nbytes))


def encode_jpeg(pixels: Tensor, *, quality: int = 85) -> bytes:
    """Encode an image (1, 3, H, W) in [0, 1] as a JPEG, for a preview."""
    image = pyvips.Image.new_from_array(quantize(pixels, None, 8, RamStore())).copy(interpretation="srgb")
    data: bytes = image.write_to_buffer(".jpg", Q=quality)
    return data


def quantize(pixels: Tensor, alpha: Tensor | None, bits: int, store: TensorStore) -> NDArray[np.uint8 | np.uint16]:
    """Convert pixels and alpha to integers of 8 or 16 bits, (H, W, 3 or 4)."""
    height, width = pixels.shape[2:]
    planes = [plane.detach() for plane in (pixels, alpha) if plane is not None]
    levels = store.empty(
        (height, width, sum(plane.shape[1] for plane in planes)), torch.uint8 if bits == 8 else torch.uint16
    )
    step = max(1, BLOCK_PX // width)
    for top in range(0, height, step):
        block = torch.cat([plane[0, :, top : top + step].cpu() for plane in planes])
        values = block.clamp(0, 1).mul(2**bits - 1).round().permute(1, 2, 0)
        levels[top : top + step] = values.to(levels.dtype)
        store.release(levels, *planes)
    return levels.cpu().numpy()


def _save_options(suffix: str, quality: int, size_bytes: int) -> dict[str, Any]:
    if suffix in (".jpg", ".jpeg", ".webp"):
        return {"Q": quality}
    if suffix == ".png":
        return {"compression": 6}
    # Viewers can open single tiles of a large file. A TIFF above 4 GB must be a BigTIFF.
    tiles = {"tile": True, "tile_width": 256, "tile_height": 256} if size_bytes > TILED_TIFF_BYTES else {}
    bigtiff = size_bytes > BIGTIFF_BYTES
    return {"compression": "deflate", "predictor": "horizontal", "resunit": "inch", "bigtiff": bigtiff, **tiles}
