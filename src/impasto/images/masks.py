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

from impasto.core.image import fit, resize
from impasto.core.tensor_store import TensorStore
from impasto.errors import ImageError
from impasto.images.decode import name_of, open_image, to_srgb, vips_errors
from impasto.images.read import dimensions, load, rows_of, sha256_of
from impasto.images.row_blocks import iter_row_blocks

__all__ = ["Mask", "count_regions", "load_mask"]

ASPECT_TOLERANCE = 0.02
COLORED, COLORED_SHARE = 0.125, 1e-3
"""A mask labels regions if this share of its pixels has channels that differ by this much."""

NEAR = 60
"""Distance in RGB of 0 to 255 within which two colors are one label."""

LEAST_SHARE, MOST_LABELS = 2e-3, 16
LOOK_PX = 1024
"""Long side of the copy that a mask's colors are told by: what is to be seen of a region is to be seen there."""

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
    store: TensorStore,
    labels: tuple[str, ...] = (),
) -> Mask:
    """Read a mask for a picture of this size, with its own orientation applied; transparent is black, or no label.

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
    seen = _look(source, max_megapixels)
    if seen.is_colored:
        palette = [_rgb(color) for color in labels] or _palette(seen, name)
        areas = _areas(source, height, width, max_megapixels, palette, store, beside_others=bool(labels))
        return Mask(areas, name_of(source), sha256_of(source))
    picture = load(source, long_side_px=max(height, width), enlarge=True, max_megapixels=max_megapixels, store=store)
    gray = store.empty((1, 1, *picture.pixels.shape[2:]))
    alpha = picture.alpha if picture.alpha is not None else torch.ones(()).expand_as(gray)
    for out, rows, opaque in iter_row_blocks(store, gray, picture.pixels, alpha):
        torch.mul(rows.mean(dim=1, keepdim=True), opaque, out=out)
    return Mask({"": resize(gray, height, width).clamp_(0, 1)}, picture.name, picture.sha256)


def count_regions(source: Any, *, max_megapixels: float) -> int:
    """How many regions a mask holds: one if it is gray, else one for each color. Raises `ImageError`."""
    seen = _look(source, max_megapixels)
    return len(_palette(seen, name_of(source) or "The mask")) if seen.is_colored else 1


def _nearest(source: Any, height: int, width: int, max_megapixels: float) -> Any:
    """A mask as a libvips image of this size whose colors are all its own: labels have no in-between."""
    image = to_srgb(open_image(source, max_megapixels)[0])
    return image.resize(width / image.width, vscale=height / image.height, kernel="nearest")


@dataclass(frozen=True)
class _Colors:
    """Pixels (H, W, 3), and where they are opaque (H, W)."""

    pixels: NDArray[np.uint8]
    opaque: NDArray[np.bool_]

    @property
    def is_colored(self) -> bool:
        """Whether it labels regions by color."""
        spread = self.pixels.max(axis=2).astype(np.int16) - self.pixels.min(axis=2)
        return float(((spread > 255 * COLORED) & self.opaque).mean()) > COLORED_SHARE


def _look(source: Any, max_megapixels: float) -> _Colors:
    """A mask at a size that is enough to tell its colors."""
    size = fit(*dimensions(source, max_megapixels=max_megapixels), LOOK_PX, enlarge=False)
    with vips_errors(f"{name_of(source) or 'The mask'} cannot be read as an image"):
        return _colors(_nearest(source, *size, max_megapixels).numpy())


def _colors(values: NDArray[np.float32]) -> _Colors:
    """Of rows (H, W, 3 or 4) in [0, 1]."""
    opaque = values[:, :, 3] >= 0.5 if values.shape[2] == 4 else np.ones(values.shape[:2], dtype=np.bool_)
    return _Colors((values[:, :, :3] * 255).round().astype(np.uint8), opaque)


def _areas(
    source: Any,
    height: int,
    width: int,
    max_megapixels: float,
    palette: list[tuple[int, ...]],
    store: TensorStore,
    *,
    beside_others: bool,
) -> dict[str, Tensor]:
    """The area of each color of `palette`, hard-edged; with `beside_others`, colors unlike all are nobody's."""
    areas = [store.empty((1, 1, height, width)) for _ in palette]
    counts = [0.0] * len(palette)
    with vips_errors(f"{name_of(source) or 'The mask'} cannot be read as an image"):
        for rows, values in rows_of(_nearest(source, height, width, max_megapixels)):
            colors = _colors(values)
            flat = torch.from_numpy(colors.pixels).float()
            least = torch.full(flat.shape[:2], float(NEAR**2 + 1) if beside_others else float("inf"))
            owner = torch.full(flat.shape[:2], -1)
            for number, color in enumerate(palette):
                distance = (flat - torch.tensor(color).float()).square_().sum(dim=2)
                owner[distance < least] = number
                torch.minimum(least, distance, out=least)
            owner[torch.from_numpy(~colors.opaque)] = -1
            for number, area in enumerate(areas):
                area[0, 0, rows] = owner == number
                counts[number] += float((owner == number).sum())
            store.release(*areas)
    return {
        "#{:02x}{:02x}{:02x}".format(*color): area
        for color, area, count in zip(palette, areas, counts, strict=True)
        if count >= LEAST_SHARE * height * width
    }


def _palette(seen: _Colors, name: str) -> list[tuple[int, ...]]:
    """The colors that an image is made of, without those of its smoothed edges. Raises `ImageError`."""
    codes = seen.pixels[seen.opaque].astype(np.int64) @ np.array([65536, 256, 1])
    colors, counts = np.unique(codes, return_counts=True)
    found: list[tuple[int, ...]] = []
    for code, count in sorted(zip(colors.tolist(), counts.tolist(), strict=True), key=lambda pair: -pair[1]):
        if count < LEAST_SHARE * seen.opaque.size:
            break
        color = (code >> 16, code >> 8 & 255, code & 255)
        is_new = all(sum((a - b) ** 2 for a, b in zip(color, other, strict=True)) > NEAR**2 for other in found)
        if is_new and _has_inside(color, seen):
            found.append(color)
    if not 0 < len(found) <= MOST_LABELS:
        raise ImageError(
            f"{name} is colored, but no image of labels: those have 1 to {MOST_LABELS} colors that fill regions, and "
            f"it has {len(found) or 'none'}. Paint each region in one color, or give gray masks."
        )
    return found


def _has_inside(color: tuple[int, ...], seen: _Colors) -> bool:
    """Whether a color fills anything wider than the smoothed edge between two others."""
    if min(seen.opaque.shape) < EDGE:  # too narrow to tell
        return True
    near = np.square(seen.pixels.astype(np.int32) - np.array(color, dtype=np.int32)).sum(axis=2) <= NEAR**2
    outside = torch.from_numpy(1 - (near & seen.opaque).astype(np.float32))[None, None]
    inside = 1 - F.max_pool2d(outside, EDGE, stride=1)
    return float(inside.mean()) >= LEAST_SHARE / 2


def _rgb(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color.removeprefix("#")))
