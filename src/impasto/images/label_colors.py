"""Colors of a label map, told apart from compression noise and from the smooth edges between two regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from impasto.core.image import fit
from impasto.errors import ImageError
from impasto.images.decode import to_srgb
from impasto.images.opened_image import OpenedImage

__all__ = ["MATCH_DISTANCE", "MIN_SHARE", "ColorSample", "find_label_colors", "sample_colors", "to_color_sample"]

MIN_CHROMA, MIN_COLORED_SHARE = 0.125, 1e-3
"""An image is a label map if this share of its pixels has channels that differ by this much."""

MATCH_DISTANCE = 60
"""Distance in RGB of 0 to 255 within which two colors are the same label."""

MIN_SHARE, MAX_LABELS = 2e-3, 16

SAMPLE_PX = 1024
"""Long side of the copy that colors are found in. Regions that matter are visible at this size."""

EDGE_PX = 3
"""A color that fills no square of this side is an edge between regions, not a region."""


@dataclass(frozen=True)
class ColorSample:
    """The pixels (H, W, 3) of a mask, and which of them are opaque (H, W)."""

    pixels: NDArray[np.uint8]
    opaque: NDArray[np.bool_]

    @property
    def is_colored(self) -> bool:
        """Return True if the mask is a label map."""
        spread = self.pixels.max(axis=2).astype(np.int16) - self.pixels.min(axis=2)
        return float(((spread > 255 * MIN_CHROMA) & self.opaque).mean()) > MIN_COLORED_SHARE


def sample_colors(mask: OpenedImage) -> ColorSample:
    """Read a mask at a size that suffices to find its colors. Raises `ImageError`."""
    height, width = fit(*mask.size, SAMPLE_PX, enlarge=False)
    with mask.decode() as image:
        image = to_srgb(image, mask.label)
        image = image.resize(width / image.width, vscale=height / image.height, kernel="nearest")
        return to_color_sample(image.numpy())


def to_color_sample(values: NDArray[np.float32]) -> ColorSample:
    """Convert rows (H, W, 3 or 4) in [0, 1] to colors."""
    opaque = values[:, :, 3] >= 0.5 if values.shape[2] == 4 else np.ones(values.shape[:2], dtype=np.bool_)
    return ColorSample((values[:, :, :3] * 255).round().astype(np.uint8), opaque)


def find_label_colors(sample: ColorSample, name: str) -> list[tuple[int, ...]]:
    """Return the colors that fill regions, most frequent first. Raises `ImageError` if there are none or too many."""
    codes = sample.pixels[sample.opaque].astype(np.int64) @ np.array([65536, 256, 1])
    colors, counts = np.unique(codes, return_counts=True)
    labels: list[tuple[int, ...]] = []
    for code, count in sorted(zip(colors.tolist(), counts.tolist(), strict=True), key=lambda pair: -pair[1]):
        if count < MIN_SHARE * sample.opaque.size:
            break
        color = (code >> 16, code >> 8 & 255, code & 255)
        is_new = all(_square_distance(color, label) > MATCH_DISTANCE**2 for label in labels)
        if is_new and _fills_a_region(color, sample):
            labels.append(color)
    if not 0 < len(labels) <= MAX_LABELS:
        raise ImageError(
            f"{name} has {len(labels) or 'no'} colors that fill regions, and a colored mask must have 1 to "
            f"{MAX_LABELS}. Paint each region in one color, or give gray masks."
        )
    return labels


def _square_distance(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _fills_a_region(color: tuple[int, ...], sample: ColorSample) -> bool:
    """Return True if a color fills areas wider than the smooth edge between two others."""
    if min(sample.opaque.shape) < EDGE_PX:  # too narrow to tell
        return True
    near = np.square(sample.pixels.astype(np.int32) - np.array(color, dtype=np.int32)).sum(axis=2) <= MATCH_DISTANCE**2
    outside = torch.from_numpy(1 - (near & sample.opaque).astype(np.float32))[None, None]
    inside = 1 - F.max_pool2d(outside, EDGE_PX, stride=1)
    return float(inside.mean()) >= MIN_SHARE / 2
