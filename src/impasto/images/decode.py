"""Whatever a person may call a picture -> an image in libvips' hands, and from there to sRGB.

Laws: input is never trusted. Only known formats are read, the header is checked before pixels are
decoded, and whatever a decoder complains of becomes an `ImageError`. libvips is given open files, never
their names: it remembers what a name held, reads options out of brackets, and knows UTF-8 only.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
import torch
from numpy.typing import NDArray
from torch import Tensor

from impasto.errors import ImageError, OutputError

__all__ = ["NamedImage", "name_of", "open_image", "to_srgb", "vips_errors"]

READABLE = ("jpeg", "png", "webp", "heif", "tiff", "gif")
EXIF_ORIENTATION = 0x0112
FLOAT_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class NamedImage:
    """Pixels that have a name but no file, such as a picture drawn by code."""

    name: str
    pixels: Any


def name_of(source: Any) -> str | None:
    """The base name of a picture, where it has one."""
    if isinstance(source, NamedImage):
        return source.name
    if not isinstance(source, (str, os.PathLike)):
        return None
    return Path(source).name.encode("utf-8", "backslashreplace").decode()  # a name may be any bytes


def open_image(source: Any, max_megapixels: float) -> tuple[Any, str]:
    """A picture as a libvips image, undecoded if it is a file, and its SHA-256. Raises `ImageError`."""
    pyvips.block_untrusted_set(True)
    named = source.name if isinstance(source, NamedImage) else None
    if isinstance(source, NamedImage):
        source = source.pixels
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        label = named or str(path)
        try:
            if path.is_dir():
                raise ImageError(f"{label} is a directory. Give the path of a picture.")
            if not path.is_file():
                raise ImageError(f"{label}: no such file. Check the path.")
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                stream = pyvips.Source.new_from_descriptor(file.fileno())  # duplicates the descriptor
        except OSError as error:
            raise ImageError(f"{label} cannot be read: {error.strerror}.") from error
        # Not "truncated": that lets a TIFF without its end pass, black where the pixels are missing.
        image = pyvips.Image.new_from_source(stream, "", fail_on="error", access="random")
    elif hasattr(source, "getexif"):  # a PIL image, without importing PIL
        label = f"The PIL image ({source.mode})"
        _require_size(label, source.width, source.height, max_megapixels)
        data, orientation = _encoded(source, label)
        sha256 = hashlib.sha256(data + bytes([orientation])).hexdigest()
        image = pyvips.Image.new_from_buffer(data, "").copy()
        image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    else:
        array = _as_array(source)
        sha256 = hashlib.sha256(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes()).hexdigest()
        return pyvips.Image.new_from_array(array), sha256
    kind = image.get("vips-loader") if "vips-loader" in image.get_fields() else ""
    if not kind.startswith(READABLE):
        raise ImageError(f"{label}: {kind.partition('load')[0]} is not read. Give JPEG, PNG, WebP, AVIF or TIFF.")
    _require_size(label, image.width, image.height, max_megapixels)
    return image, sha256


def to_srgb(image: Any) -> Any:
    """Upright, three or four float bands in [0, 1], sRGB."""
    if "vips-loader" not in image.get_fields():  # an array: float in [0, 1] already
        if image.bands in (1, 2):
            image = image[0].bandjoin([image[0], image[0], *([image[1]] if image.bands == 2 else [])])
        return image.copy(interpretation="srgb")
    image = image.autorot()
    deep = image.format not in ("uchar", "char")
    if image.format in ("float", "double"):
        image = _linear_light(image)
    elif image.interpretation == "cmyk" or "icc-profile-data" in image.get_fields():
        fallback = {"input_profile": "cmyk" if image.interpretation == "cmyk" else "srgb"}
        # A broken profile is no reason to refuse a picture: it is then read as if it had none.
        with contextlib.suppress(pyvips.Error):
            image = image.icc_transform("srgb", embedded=True, depth=16 if deep else 8, **fallback)
    image = image.colourspace("rgb16" if deep else "srgb")
    if image.bands > 4:  # a TIFF may carry masks behind its alpha
        image = image[:4]
    return (image.cast("float") / (65535 if deep else 255)).copy(interpretation="srgb")


@contextlib.contextmanager
def vips_errors(what: str, kind: type[ImageError] | type[OutputError] = ImageError) -> Iterator[None]:
    """Turn libvips' complaints into `kind`, one line each."""
    try:
        yield
    except pyvips.Error as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        detail = re.sub(r"^\w+: ", "", lines[-1].strip()) if lines else "unknown reason"  # no names of its classes
        advice = "Is it a whole JPEG, PNG, WebP, AVIF or TIFF?" if kind is ImageError else "Is the disk full?"
        raise kind(f"{what}: {detail}. {advice}") from error


def _require_size(label: str, width: int, height: int, max_megapixels: float) -> None:
    megapixels = width * height / 1e6
    if megapixels > max_megapixels:
        raise ImageError(
            f"{label} claims {width}x{height} px, {round(megapixels, 3):g} megapixels, and the limit is "
            f"{max_megapixels:g}. Shrink it, or raise --max-megapixels."
        )


def _encoded(picture: Any, label: str) -> tuple[bytes, int]:
    """A PIL image as the bytes of a lossless file with its profile, and its EXIF orientation."""
    buffer = io.BytesIO()
    try:
        picture.load()  # PIL turns a TIFF upright here, and only then takes its orientation away
        orientation = picture.getexif().get(EXIF_ORIENTATION, 1)
        # PNG keeps a palette's transparency, which TIFF does not; TIFF keeps inks, which PNG does not.
        # EXIF stays out: that of a turned TIFF still has the old width and height.
        kind = "TIFF" if picture.mode == "CMYK" else "PNG"
        picture.save(buffer, kind, exif=b"", icc_profile=picture.info.get("icc_profile"))
    except Exception as error:  # PIL raises anything, SyntaxError too
        raise ImageError(f"{label} cannot be read: {error}. Give a whole one, as RGB or RGBA.") from error
    return buffer.getvalue(), orientation if orientation in range(1, 9) else 1


def _as_array(source: Any) -> NDArray[np.float32]:
    """Any array or tensor -> float32 (H, W, 1 to 4), integers scaled by their range. Raises `ImageError`."""
    advice = "Give a path, a PIL image, or an array or tensor of uint8, uint16 or floats."
    try:
        if isinstance(source, Tensor):
            source = source.detach().to("cpu", torch.float32 if source.is_floating_point() else None).numpy()
        array = np.asarray(source)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, sparse tensors
        raise ImageError(f"{type(source).__name__} is no picture: {error} {advice}") from error
    if array.dtype.kind not in "fiub" or (array.dtype.kind in "iu" and array.dtype.itemsize > 2):
        raise ImageError(f"{type(source).__name__} ({array.dtype}) is no picture. {advice}")
    channels_first = isinstance(source, Tensor) or array.ndim == 4
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim == 3 and array.shape[0] in (1, 2, 3, 4) and (channels_first or array.shape[2] not in (1, 2, 3, 4)):
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or array.size == 0:
        raise ImageError(f"An array of shape {array.shape} is no picture. Give (H, W), (H, W, C) or (C, H, W).")
    scale = np.iinfo(array.dtype).max if np.issubdtype(array.dtype, np.integer) else 1
    scaled = np.ascontiguousarray(array, dtype=np.float32) / np.float32(scale)
    if not (np.isfinite(scaled).all() and scaled.min() >= 0 and scaled.max() <= 1):
        raise ImageError("The array's values are not all finite and in [0, 1]. Scale floats to [0, 1], or give uint8.")
    return scaled


def _linear_light(image: Any) -> Any:
    """A floating-point TIFF as scRGB: linear, 1 is white. libvips takes grey ones for 0 to 255 else."""
    if (image.abs() <= FLOAT_MAX).min() == 0:  # NaN is below nothing
        raise ImageError("The picture holds NaN or infinity. Give finite pixels.")
    if image.bands < 3:
        image = image[0].bandjoin([image[0], image[0], *([image[1]] if image.bands == 2 else [])])
    return image.copy(interpretation="scrgb")
