"""libvips images -> upright sRGB in float, and libvips' errors -> one line each."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyvips

from impasto.errors import ImageError, OutputError
from impasto.images.formats import ACCEPTED

__all__ = ["require_pixel_format", "to_srgb", "vips_errors"]


def _decode_text(value: Any) -> str:
    """Decode text of libvips, which may quote bytes of a damaged file."""
    if value == pyvips.ffi.NULL:
        return "NULL"
    data = value if isinstance(value, (str, bytes)) else pyvips.ffi.string(value)
    return data.decode("utf-8", "backslashreplace") if isinstance(data, bytes) else data


# pyvips (3.1) decodes warnings and errors strictly: bytes of a damaged file would end in a traceback on stderr.
pyvips._to_string = pyvips.error._to_string = _decode_text

FLOAT_MAX = float(np.finfo(np.float32).max)

RGB_OR_GRAY = ("b-w", "grey16", "srgb", "rgb", "rgb16", "scrgb", "multiband")
READABLE = {
    **dict.fromkeys(("uchar", "ushort"), (*RGB_OR_GRAY, "cmyk")),
    **dict.fromkeys(("float", "double"), (*RGB_OR_GRAY, "lab")),
    "short": ("labs",),
}
"""Color spaces, by number format, whose conversion to sRGB is unambiguous. Of 32-bit integers, for one, programs write
the full range or the values of 16 bits."""

NUMBER_NAMES = {
    "char": "signed 8-bit integers",
    "uchar": "8-bit integers",
    "short": "signed 16-bit integers",
    "ushort": "16-bit integers",
    "int": "32-bit integers",
    "uint": "32-bit integers",
    "float": "floating-point numbers",
    "double": "floating-point numbers",
}
SPACE_NAMES = {"b-w": "gray", "grey16": "gray", "rgb16": "RGB", "scrgb": "RGB", "multiband": "unnamed channels"}


def require_pixel_format(image: Any, label: str) -> None:
    """Raise `ImageError` if the numbers and the color space of a libvips image have no single meaning."""
    space, bands = image.interpretation, image.bands
    if space in READABLE.get(image.format, ()) and not (space.startswith("lab") and bands > 3):
        return
    numbers = NUMBER_NAMES.get(image.format, "complex numbers")
    name = SPACE_NAMES.get(space, space.upper())
    raise ImageError(f"{label} holds {numbers} ({name}, {bands} channels). Save it as RGB with 8 or 16 bits.")


def to_srgb(image: Any, label: str) -> Any:
    """Convert a libvips image to upright sRGB: three or four float bands in [0, 1]. `label` names it in errors."""
    if "vips-loader" not in image.get_fields():  # an array: float in [0, 1] already
        return _gray_to_rgb(image).copy(interpretation="srgb")
    image = image.autorot()
    deep = image.format not in ("uchar", "char")
    if image.interpretation in ("lab", "labs"):
        image = image.colourspace("scrgb")
    elif image.format in ("float", "double"):
        image = _to_linear_light(image, label)
    elif image.interpretation == "cmyk" or "icc-profile-data" in image.get_fields():
        if image.interpretation == "cmyk":  # libvips converts what follows the four inks at a wrong range
            image = image[:4]
        fallback = {"input_profile": "cmyk" if image.interpretation == "cmyk" else "srgb"}
        # A broken profile does not make the pixels unreadable: ignore it.
        with contextlib.suppress(pyvips.Error):
            image = image.icc_transform("srgb", embedded=True, depth=16 if deep else 8, **fallback)
    image = image.colourspace("rgb16" if deep else "srgb")
    if image.bands > 4:  # a TIFF may hold masks after its alpha
        image = image[:4]
    return (image.cast("float") / (65535 if deep else 255)).copy(interpretation="srgb")


def _to_linear_light(image: Any, label: str) -> Any:
    """Mark a floating-point TIFF as scRGB: linear, 1 is white. libvips would read gray ones as 0 to 255."""
    if (image.abs() <= FLOAT_MAX).min() == 0:  # comparisons with NaN are false
        raise ImageError(f"{label} holds NaN or infinity. Give finite pixels.")
    return _gray_to_rgb(image).copy(interpretation="scrgb")


def _gray_to_rgb(image: Any) -> Any:
    """Repeat a single gray band three times; alpha stays behind it."""
    if image.bands > 2:
        return image
    return image[0].bandjoin([image[0], image[0], *([image[1]] if image.bands == 2 else [])])


@contextlib.contextmanager
def vips_errors(what: str, kind: type[ImageError] | type[OutputError] = ImageError) -> Iterator[None]:
    """Raise errors of libvips as `kind`, in one line that starts with `what`."""
    try:
        yield
    except pyvips.Error as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        detail = re.sub(r"^\w+: ", "", lines[-1].strip()) if lines else "unknown reason"  # without libvips' class name
        advice = f"Is it a complete {ACCEPTED}?" if kind is ImageError else "Is the disk full?"
        raise kind(f"{what}: {detail}. {advice}") from error
