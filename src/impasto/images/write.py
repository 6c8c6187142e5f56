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
from impasto.config.run_options import SRGB, Intent
from impasto.core.tensor_store import RamStore, TensorStore
from impasto.errors import OutputError
from impasto.files import atomic_write, require_writable
from impasto.images.decode import vips_errors
from impasto.images.exr import import_openexr, write_exr
from impasto.images.metadata import attach_note
from impasto.images.profiles import OutputProfile, convert, load_profile

__all__ = ["encode_jpeg", "keeps_hidden_colors", "quantize", "require_output", "save"]

FORMAT_BITS = {".png": 16, ".jpg": 8, ".jpeg": 8, ".webp": 8, ".tif": 16, ".tiff": 16, ".exr": 16}
"""Output formats, and the most bits that each can hold."""

BLOCK_PX = 1 << 21
"""Pixels converted at a time."""

TILED_TIFF_BYTES, BIGTIFF_BYTES = 1 << 27, 1 << 31
"""Bytes of pixels above which a TIFF has tiles, and is a BigTIFF."""

MAX_SIDE_PX = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}
"""Most pixels a side, where a format has a limit that a picture can reach."""


CMYK_SUFFIXES = (".tif", ".tiff")

STRAIGHT_SUFFIXES = (".png", ".webp", ".tif", ".tiff")
"""Formats that keep colors under transparent pixels. JPEG has no alpha; in OpenEXR, colors are multiplied by it."""


def require_output(
    path: Path, *, bits: int = 8, height: int = 1, width: int = 1, profile: OutputProfile | None = None
) -> None:
    """Raise `OutputError` if `save` could not write an image of this size to `path`, before it is painted."""
    suffix = path.suffix.lower()
    if suffix not in FORMAT_BITS:
        given = suffix or "a name without an extension"
        raise OutputError(f"{path} cannot be written: {given} is not supported. Use .png, .jpg, .webp, .tif or .exr.")
    if bits > FORMAT_BITS[suffix]:
        limit = f"{suffix} holds {FORMAT_BITS[suffix]} bits, not {bits}"
        raise OutputError(f"{path} cannot be written: {limit}. Use .png or .tif, or --bits 8.")
    if suffix == ".exr":
        if import_openexr() is None:
            raise OutputError(f"{path} cannot be written: OpenEXR is missing. Install impasto[exr], or use .tif.")
        if profile is not None and not profile.is_srgb:
            raise OutputError(f"{path} cannot be written: an EXR holds linear light, and no profile. Use .tif.")
    if profile is not None and profile.space == "cmyk" and suffix not in CMYK_SUFFIXES:
        raise OutputError(f"{path} cannot be written: {profile.name} is a CMYK profile, which needs .tif. Use .tif.")
    if suffix in MAX_SIDE_PX and max(height, width) > MAX_SIDE_PX[suffix]:
        limit = f"{suffix} holds at most {MAX_SIDE_PX[suffix]} px a side, not {width}x{height}"
        raise OutputError(f"{path} cannot be written: {limit}. Use .png or .tif.")
    require_writable(path)


def keeps_hidden_colors(path: Path, profile: OutputProfile) -> bool:
    """Return True if `save` keeps the colors of transparent pixels in a file of this name."""
    return path.suffix.lower() in STRAIGHT_SUFFIXES and profile.space != "cmyk"


def save(
    path: Path,
    pixels: Tensor,
    alpha: Tensor | None = None,
    *,
    bits: int = 8,
    quality: int = 95,
    dpi: float = 300,
    profile: OutputProfile | None = None,
    intent: Intent = "relative",
    peak: float = 1.0,
    note: str = "",
    store: TensorStore | None = None,
) -> None:
    """Write an image (1, 3, H, W) in [0, 1] and its alpha. JPEG and CMYK have no alpha: it is flattened over white.

    The pixels are converted to `profile` (default: sRGB), which is embedded; an EXR holds linear light up to `peak`.
    The file has its resolution, unless it is a WebP. `note` (ASCII) is stored as text or XMP. An existing file is
    replaced only by a complete one.
    Raises `OutputError`.
    """
    profile = profile or load_profile(SRGB)
    require_output(path, bits=bits, height=pixels.shape[2], width=pixels.shape[3], profile=profile)
    suffix = path.suffix.lower()
    if alpha is not None and (suffix in (".jpg", ".jpeg") or profile.space == "cmyk"):
        pixels, alpha = torch.lerp(torch.ones_like(alpha), pixels, alpha), None
    if suffix == ".exr":
        with atomic_write(path) as temporary:
            write_exr(temporary, pixels, alpha, peak=peak, dpi=dpi, note=note)
        return
    depth = bits if profile.is_srgb else 16  # rounded once, after the conversion
    array = quantize(pixels, alpha, depth, store or RamStore())
    errors = vips_errors(f"{path} could not be written", OutputError)
    with atomic_write(path) as temporary, temporary.open("wb") as file, errors:
        image = pyvips.Image.new_from_array(array).copy(interpretation="srgb" if depth == 8 else "rgb16")
        image = convert(image, profile, intent, bits).copy(xres=dpi / MM_PER_INCH, yres=dpi / MM_PER_INCH)
        if note:
            attach_note(image, note)
        target = pyvips.Target.new_to_descriptor(file.fileno())
        image.write_to_target(target, suffix, **_save_options(suffix, quality, array.nbytes))


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
    if suffix in (".jpg", ".jpeg"):
        return {"Q": quality}
    if suffix == ".webp":
        return {"Q": quality, "exact": True}  # keep the colors of transparent pixels, as PNG and TIFF do
    if suffix == ".png":
        return {"compression": 6}
    # Viewers can open single tiles of a large file. A TIFF above 4 GB must be a BigTIFF.
    tiles = {"tile": True, "tile_width": 256, "tile_height": 256} if size_bytes > TILED_TIFF_BYTES else {}
    bigtiff = size_bytes > BIGTIFF_BYTES
    return {"compression": "deflate", "predictor": "horizontal", "resunit": "inch", "bigtiff": bigtiff, **tiles}
