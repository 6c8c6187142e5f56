"""OpenEXR files: linear light of any brightness, through a tone curve to [0, 1] and back.

The curve is that of Reinhard et al. 2002 ("Photographic Tone Reproduction for Digital Images", equation 4) at each
channel, followed by sRGB's: x -> x (1 + x / peak²) / (1 + x), which takes `peak`, the brightest value of the picture,
to 1. At a peak of 1 it is the identity, so a picture without highlights is plain sRGB.

Files state their primaries (`chromaticities`); those without have Rec. 709's, which are sRGB's. Other primaries are
converted before the curve, and what is written has Rec. 709's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyvips
from numpy.typing import NDArray
from torch import Tensor

from impasto.errors import ImageError, OutputError
from impasto.images.memory_images import Encoded
from impasto.images.primaries import REC709, matrix_to_rec709

__all__ = ["compress", "expand", "import_openexr", "read_exr", "write_exr"]

HALF_MAX = float(np.finfo(np.float16).max)

MIN_ALPHA = 1e-4
"""Alpha below which a pixel has no color of its own: colors are multiplied by alpha in OpenEXR."""

NOTE = "impasto"
"""Attribute that holds the recipe."""

Floats = NDArray[np.float32]


def import_openexr() -> Any:
    """Return the module OpenEXR, or None if it is not installed."""
    try:
        import OpenEXR
    except ImportError:
        return None
    return OpenEXR


def compress(light: Floats, peak: float) -> Floats:
    """Apply the tone curve: linear light from 0 to `peak` -> sRGB in [0, 1]."""
    mapped = light * (1 + light / peak**2) / (1 + light)
    encoded = np.where(mapped <= 0.0031308, 12.92 * mapped, 1.055 * np.maximum(mapped, 1e-9) ** (1 / 2.4) - 0.055)
    return encoded.astype(np.float32)


def expand(pixels: Floats, peak: float) -> Floats:
    """Invert the tone curve: sRGB in [0, 1] -> linear light from 0 to `peak`."""
    mapped = np.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4).astype(np.float64)
    rest = 1 - mapped
    light = 2 * mapped / (np.sqrt(rest**2 + 4 * mapped / peak**2) + rest)
    return light.astype(np.float32)


def read_exr(file: IO[bytes], label: str, check_size: Callable[[int, int], None]) -> Encoded:
    """Read the first part of a file as 16-bit sRGB through the tone curve. Raises `ImageError`.

    `check_size` gets height and width before the pixels are read.
    """
    openexr = import_openexr()
    try:
        header = openexr.File(file, header_only=True).header()
        (left, top), (right, bottom) = header["dataWindow"]
        check_size(int(bottom - top + 1), int(right - left + 1))
        file.seek(0)
        channels = openexr.File(file, separate_channels=True).channels()
        planes = {name: np.asarray(channel.pixels, np.float32) for name, channel in channels.items()}
    except ImageError:
        raise
    except Exception as error:  # OpenEXR raises any type
        raise ImageError(f"{label} cannot be read as an image: it is no complete OpenEXR. Export it again.") from error
    light = _find_colors(planes, label)
    alpha = np.clip(planes["A"], 0, 1) if "A" in planes else None
    if alpha is not None:
        light = [np.where(alpha > MIN_ALPHA, plane / np.maximum(alpha, MIN_ALPHA), 0) for plane in light]
    light = _to_rec709(light, header.get("chromaticities", REC709), label)
    if not all(np.isfinite(plane).all() for plane in (*light, *([] if alpha is None else [alpha]))):
        raise ImageError(f"{label} holds NaN or infinity. Give finite pixels.")
    peak = max(1.0, *(float(plane.max()) for plane in light))
    levels = [_to_levels(compress(np.maximum(plane, 0), peak)) for plane in light]
    levels += [_to_levels(alpha)] if alpha is not None else []
    image = pyvips.Image.new_from_array(np.stack(levels, axis=2)).copy(interpretation="rgb16")
    return Encoded(bytes(image.write_to_buffer(".tif")), peak=peak, note=str(header.get(NOTE, "")))


def _find_colors(planes: dict[str, Floats], label: str) -> list[Floats]:
    """Return red, green and blue, three times the luminance of a gray picture. Raises `ImageError`."""
    for names in (("R", "G", "B"), ("Y", "Y", "Y")):
        if all(name in planes for name in names) and "RY" not in planes:
            return [planes[name] for name in names]
    found = ", ".join(sorted(planes)[:8])
    raise ImageError(f"{label} has the channels {found}. Export it with R, G and B, or Y.")


def _to_rec709(light: list[Floats], chromaticities: Sequence[float], label: str) -> list[Floats]:
    """Convert red, green and blue to the primaries of sRGB. Colors outside of its gamut get negative values."""
    matrix = matrix_to_rec709(chromaticities, label)
    if matrix is None:
        return light
    return list(np.tensordot(matrix.astype(np.float32), np.stack(light), axes=1))


def _to_levels(values: Floats) -> NDArray[np.uint16]:
    return (values * 65535 + 0.5).astype(np.uint16)


def write_exr(path: Path, pixels: Tensor, alpha: Tensor | None, *, peak: float, dpi: float, note: str) -> None:
    """Write an image in [0, 1] as linear light in half floats, through the inverse tone curve. Raises `OutputError`."""
    openexr = import_openexr()
    planes = [expand(plane.numpy().clip(0, 1), peak) for plane in pixels[0].detach().cpu()]
    if alpha is not None:
        opaque = alpha[0, 0].detach().cpu().numpy()
        planes = [*(plane * opaque for plane in planes), opaque]
    array = np.stack([np.minimum(plane, HALF_MAX).astype(np.float16) for plane in planes], axis=2)
    header = {
        "compression": openexr.ZIP_COMPRESSION,
        "type": openexr.scanlineimage,
        "xDensity": float(dpi),
        "chromaticities": REC709,
    }
    try:
        openexr.File(header | ({NOTE: note} if note else {}), {"RGB" if alpha is None else "RGBA": array}).write(
            str(path)
        )
    except (RuntimeError, ValueError) as error:
        raise OutputError(f"{path} could not be written as OpenEXR. Is the disk full?") from error
