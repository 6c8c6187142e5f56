"""Arrays, tensors and PIL images -> bytes or float arrays that libvips can read."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ImageCms
from PIL.BmpImagePlugin import BmpImageFile
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor

from impasto.errors import ImageError
from impasto.images.psd import PsdHeader, open_psd, read_deep_psd

__all__ = ["Encoded", "encode_file", "encode_pil", "is_lab_tiff", "to_float_array"]

EXIF_ORIENTATION = 0x0112


class Encoded(NamedTuple):
    """A picture as the bytes of a lossless file, with its orientation, and the peak and note of an OpenEXR."""

    data: bytes
    orientation: int = 1
    peak: float = 1.0
    note: str = ""


def encode_pil(picture: Any, label: str) -> Encoded:
    """Return a PIL image as the bytes of a lossless file with its profile, and its EXIF orientation."""
    buffer = io.BytesIO()
    try:
        picture.load()  # PIL turns a TIFF upright here, and removes its orientation only then
        orientation = picture.getexif().get(EXIF_ORIENTATION, 1)
        # PNG keeps a palette's transparency, TIFF does not; TIFF keeps CMYK, PNG does not.
        # Drop the EXIF: in a turned TIFF it still has the old width and height.
        kind = "TIFF" if picture.mode == "CMYK" else "PNG"
        picture.save(buffer, kind, exif=b"", icc_profile=picture.info.get("icc_profile"))
    except Exception as error:  # PIL raises any type, even SyntaxError
        raise ImageError(f"{label} cannot be read: {error}. Give a complete image in mode RGB or RGBA.") from error
    return Encoded(buffer.getvalue(), orientation if orientation in range(1, 9) else 1)


def encode_file(file: IO[bytes], kind: str, label: str, check_size: Callable[[int, int], None]) -> Encoded:
    """Return a BMP, HEIC, PSD or Lab TIFF as a lossless file. Raises `ImageError`.

    `check_size` gets height and width before the pixels are decoded.
    """
    try:
        if kind == "heic":
            import pillow_heif

            opened = pillow_heif.open_heif(file)
            check_size(*reversed(opened.size))
            picture = opened.to_pillow()
        elif kind == "psd":
            header = PsdHeader(file, label)
            check_size(header.height, header.width)
            if header.bits == 16:
                return Encoded(read_deep_psd(file, header))
            picture = open_psd(file, header)
        else:
            # These classes, and not `Image.open`: it warns of sizes far below the limit of Impasto.
            picture = (BmpImageFile if kind == "bmp" else TiffImageFile)(file)
            check_size(picture.height, picture.width)
        if picture.mode == "LAB":
            lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
            picture = ImageCms.buildTransform(lab, srgb, "LAB", "RGB").apply(picture)
    except ImageError:
        raise
    except Exception as error:  # Pillow raises any type
        raise ImageError(f"{label} cannot be read as an image: {error}. Is it a complete file?") from error
    return encode_pil(picture, label)


def is_lab_tiff(file: IO[bytes]) -> bool:
    """Return True for a TIFF of 8-bit Lab colors, which libvips reads as another coding."""
    try:
        return TiffImageFile(file).mode == "LAB"
    except Exception:  # Pillow raises any type; libvips says what is wrong
        return False


def to_float_array(source: Any) -> NDArray[np.float32]:
    """Convert an array or tensor to float32 (H, W, 1 to 4) in [0, 1]. Raises `ImageError`.

    Integers are divided by the maximum of their type.
    """
    array = _to_array(source)
    channels_first = isinstance(source, Tensor) or array.ndim == 4
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim == 3 and array.shape[0] in (1, 2, 3, 4) and (channels_first or array.shape[2] not in (1, 2, 3, 4)):
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or array.size == 0:
        raise ImageError(f"An array of shape {array.shape} is not a picture. Give (H, W), (H, W, C) or (C, H, W).")
    scale = np.iinfo(array.dtype).max if np.issubdtype(array.dtype, np.integer) else 1
    scaled = np.ascontiguousarray(array, dtype=np.float32) / np.float32(scale)
    if not (np.isfinite(scaled).all() and scaled.min() >= 0 and scaled.max() <= 1):
        raise ImageError("The array's values are not all finite and in [0, 1]. Scale floats to [0, 1], or give uint8.")
    return scaled


def _to_array(source: Any) -> NDArray[Any]:
    """Convert a source to an array of uint8, uint16, bool or floats. Raises `ImageError`."""
    advice = "Give a path, a PIL image, or an array or tensor of uint8, uint16 or floats."
    try:
        if isinstance(source, Tensor):
            source = source.detach().to("cpu", torch.float32 if source.is_floating_point() else None).numpy()
        array = np.asarray(source)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, sparse tensors
        raise ImageError(f"{type(source).__name__} is not a picture: {error} {advice}") from error
    if array.dtype.kind not in "fiub" or (array.dtype.kind in "iu" and array.dtype.itemsize > 2):
        raise ImageError(f"{type(source).__name__} ({array.dtype}) is not a picture. {advice}")
    return array
