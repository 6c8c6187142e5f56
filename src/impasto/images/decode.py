"""libvips images -> upright sRGB in float, and libvips' errors -> one line each."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyvips

from impasto.errors import ImageError, OutputError

__all__ = ["to_srgb", "vips_errors"]

FLOAT_MAX = float(np.finfo(np.float32).max)


def to_srgb(image: Any, label: str) -> Any:
    """Convert a libvips image to upright sRGB: three or four float bands in [0, 1]. `label` names it in errors."""
    if "vips-loader" not in image.get_fields():  # an array: float in [0, 1] already
        return _gray_to_rgb(image).copy(interpretation="srgb")
    image = image.autorot()
    deep = image.format not in ("uchar", "char")
    if image.format in ("float", "double"):
        image = _to_linear_light(image, label)
    elif image.interpretation == "cmyk" or "icc-profile-data" in image.get_fields():
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
        advice = "Is it a complete JPEG, PNG, WebP, AVIF or TIFF?" if kind is ImageError else "Is the disk full?"
        raise kind(f"{what}: {detail}. {advice}") from error
