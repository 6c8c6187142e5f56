"""Masks: gray images that say how much of a pixel belongs, and colored ones that label regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from impasto.errors import ImageError
from impasto.images.opening import name_of, open_image, to_srgb, vips_errors
from impasto.images.reading import dimensions, load
from impasto.picture import resize
from impasto.store import Store

__all__ = ["Mask", "load_mask"]

ASPECT_TOLERANCE = 0.02
COLORED, COLORED_SHARE = 0.125, 1e-3
"""A mask labels regions if this share of its pixels has channels that differ by this much."""

NEAR = 60
"""Distance in RGB of 0 to 255 within which two colors are one label."""

LEAST_SHARE, MOST_LABELS = 2e-3, 16
EDGE = 3
"""Pixels: what is nowhere as wide and as high is an edge, not a region."""


@dataclass(frozen=True)
class Mask:
    """What an image masks: one (1, 1, H, W) in [0, 1] under "", or one for each color such as `#ff0000`."""

    areas: Mapping[str, Tensor]
    name: str | None
    sha256: str


def load_mask(
    source: Any,
    height: int,
    width: int,
    *,
    what: str,
    max_megapixels: float,
    store: Store,
    labels: tuple[str, ...] = (),
) -> Mask:
    """Read a mask for a picture of this size, with its own orientation applied; transparent is black.

    Colors are matched with `labels`, where there are some, or found. Raises `ImageError`: another aspect
    than the picture's (`what` names it), or too many colors.
    """
    name = name_of(source) or "The mask"
    own = dimensions(source, max_megapixels=max_megapixels)
    if abs(own[1] * height / (own[0] * width) - 1) > max(ASPECT_TOLERANCE, 1.5 / min(height, width)):
        raise ImageError(
            f"{name} is {own[1]}x{own[0]} px and {what} {width}x{height}: a mask has the aspect of its picture. "
            "Crop it to the same part."
        )
    picture = load(source, long_side_px=max(height, width), enlarge=True, max_megapixels=max_megapixels, store=store)
    spread = picture.pixels.amax(dim=1) - picture.pixels.amin(dim=1)
    if float((spread > COLORED).float().mean()) > COLORED_SHARE:
        return Mask(_labels(source, height, width, max_megapixels, labels), picture.name, picture.sha256)
    gray = picture.pixels.mean(dim=1, keepdim=True)
    if picture.alpha is not None:
        gray *= picture.alpha
    return Mask({"": resize(gray, height, width).clamp_(0, 1)}, picture.name, picture.sha256)


def _labels(source: Any, height: int, width: int, max_megapixels: float, known: tuple[str, ...]) -> dict[str, Tensor]:
    """The area of each color, hard-edged: labels have no in-between."""
    with vips_errors(f"{name_of(source) or 'The mask'} cannot be read as an image"):
        image = to_srgb(open_image(source, max_megapixels)[0])
        image = image.resize(width / image.width, vscale=height / image.height, kernel="nearest")
        pixels = (image.numpy()[:, :, :3] * 255).round().astype(np.uint8)
    palette = [_rgb(color) for color in known] or _palette(pixels, name_of(source) or "The mask")
    flat = torch.from_numpy(pixels.reshape(-1, 3)).float()
    distances = torch.stack([(flat - torch.tensor(color).float()).square().sum(dim=1) for color in palette])
    nearest = distances.min(dim=0)
    # Beside known labels a mask may have others, which are nobody's.
    owner = torch.where(nearest.values <= NEAR**2, nearest.indices, -1) if known else nearest.indices
    areas = {
        "#{:02x}{:02x}{:02x}".format(*color): (owner == number).float().view(1, 1, *pixels.shape[:2])
        for number, color in enumerate(palette)
    }
    return {color: area for color, area in areas.items() if float(area.mean()) >= LEAST_SHARE}


def _palette(pixels: NDArray[np.uint8], name: str) -> list[tuple[int, ...]]:
    """The colors that an image is made of, without those of its smoothed edges."""
    codes = pixels.astype(np.int64) @ np.array([65536, 256, 1])
    colors, counts = np.unique(codes, return_counts=True)
    found: list[tuple[int, ...]] = []
    for code in colors[np.argsort(-counts, kind="stable")]:
        if counts[colors.searchsorted(code)] < LEAST_SHARE * codes.size:
            break
        color = (int(code) >> 16, int(code) >> 8 & 255, int(code) & 255)
        is_new = all(sum((a - b) ** 2 for a, b in zip(color, other, strict=True)) > NEAR**2 for other in found)
        if is_new and _has_inside(color, pixels):
            found.append(color)
    if not 0 < len(found) <= MOST_LABELS:
        raise ImageError(
            f"{name} is colored, but no image of labels: those have 1 to {MOST_LABELS} colors, and it {len(found)}. "
            "Paint each region in one color, or give gray masks."
        )
    return found


def _has_inside(color: tuple[int, ...], pixels: NDArray[np.uint8]) -> bool:
    """Whether a color fills anything wider than the smoothed edge between two others."""
    near = np.square(pixels.astype(np.int32) - np.array(color, dtype=np.int32)).sum(axis=2) <= NEAR**2
    outside = torch.from_numpy(1 - near.astype(np.float32))[None, None]
    inside = 1 - F.max_pool2d(outside, EDGE, stride=1)
    return float(inside.mean()) >= LEAST_SHARE / 2


def _rgb(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color.removeprefix("#")))
