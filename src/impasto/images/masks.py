"""Masks: gray images of weights, and label maps, which give each region a color."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from impasto.config.run_options import MAX_MEGAPIXELS
from impasto.core.framing import Frame
from impasto.core.tensor_store import TensorStore
from impasto.errors import ImageError
from impasto.images.decode import to_srgb
from impasto.images.label_colors import (
    MATCH_DISTANCE,
    MIN_SHARE,
    ColorSample,
    find_label_colors,
    sample_colors,
    to_color_sample,
)
from impasto.images.opened_image import OpenedImage, open_image
from impasto.images.read import crop_to_frame, iter_rows, load
from impasto.images.row_blocks import iter_row_blocks

__all__ = ["Mask", "count_regions", "load_mask"]

ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True)
class Mask:
    """A loaded mask: one area (1, 1, H, W) in [0, 1] named "", or one for each color such as `#ff0000`."""

    areas: Mapping[str, Tensor]
    name: str | None
    sha256: str


def load_mask(
    source: Any,
    height: int,
    width: int,
    *,
    what: str,
    store: TensorStore,
    max_megapixels: float = MAX_MEGAPIXELS,
    labels: tuple[str, ...] = (),
    frame: Frame | None = None,
) -> Mask:
    """Read the mask of a picture of this size, with the mask's own orientation applied.

    With the `frame` of its picture, it is a mask of the whole photo, and is cropped like it.

    Transparent pixels are black in a gray mask, and belong to no region in a label map. Colors are matched with
    `labels` if given, found otherwise. Raises `ImageError` if the aspect differs from the picture's (`what`
    names it), or if there are too many colors.
    """
    opened = open_image(source, max_megapixels=max_megapixels)
    frame = frame or Frame.whole(height, width)
    _require_aspect(opened, *frame.source, what)
    sample = sample_colors(opened)
    if sample.is_colored:
        palette = [_parse_color(color) for color in labels] or find_label_colors(sample, _name(opened))
        limit = MATCH_DISTANCE**2 + 1 if labels else float("inf")
        areas = _split_by_color(opened, frame, palette, store, limit=limit)
        return Mask(areas, opened.name, opened.sha256)
    picture = load(opened, frame=frame, store=store)
    gray = store.empty((1, 1, *picture.pixels.shape[2:]))
    alpha = picture.alpha if picture.alpha is not None else gray.new_ones(()).expand_as(gray)
    for out, rows, opaque in iter_row_blocks(store, gray, picture.pixels, alpha):
        torch.mul(rows.mean(dim=1, keepdim=True), opaque, out=out)
    return Mask({"": gray}, picture.name, picture.sha256)


def count_regions(source: Any, *, max_megapixels: float = MAX_MEGAPIXELS) -> int:
    """Return the number of colors of a label map, or 1 for a gray mask. Raises `ImageError`."""
    opened = open_image(source, max_megapixels=max_megapixels)
    sample = sample_colors(opened)
    return len(find_label_colors(sample, _name(opened))) if sample.is_colored else 1


def _require_aspect(mask: OpenedImage, height: int, width: int, what: str) -> None:
    ratio = mask.width * height / (mask.height * width)
    if abs(ratio - 1) > max(ASPECT_TOLERANCE, 1.5 / min(height, width)):
        raise ImageError(
            f"{_name(mask)} has {mask.width}x{mask.height} px, and {what} {width}x{height}: a mask must have the "
            "aspect ratio of its picture. Crop it to the same part."
        )


def _split_by_color(
    mask: OpenedImage,
    frame: Frame,
    palette: list[tuple[int, ...]],
    store: TensorStore,
    *,
    limit: float,
) -> dict[str, Tensor]:
    """Return the hard-edged area of each color of `palette`, without areas that are nearly empty.

    Each pixel belongs to its nearest color, or to none if the squared distance is not below `limit`.
    """
    height, width = frame.size
    areas = [store.empty((1, 1, height, width)) for _ in palette]
    counts = [0.0] * len(palette)
    with mask.decode() as image:
        image = crop_to_frame(to_srgb(image, mask.label), frame)
        # Nearest neighbor: a mixture of two labels would be a third one.
        image = image.resize(width / image.width, vscale=height / image.height, kernel="nearest")
        for rows, values in iter_rows(image):
            owner = _nearest_label(to_color_sample(values), palette, limit)
            for number, area in enumerate(areas):
                area[0, 0, rows] = owner == number
                counts[number] += float((owner == number).sum())
            store.release(*areas)
    return {
        "#{:02x}{:02x}{:02x}".format(*color): area
        for color, area, count in zip(palette, areas, counts, strict=True)
        if count >= MIN_SHARE * height * width
    }


def _nearest_label(sample: ColorSample, palette: list[tuple[int, ...]], limit: float) -> Tensor:
    """Return the index of the nearest color for each pixel, (H, W); -1 for none."""
    flat = torch.from_numpy(sample.pixels).float()
    least = torch.full(flat.shape[:2], float(limit))
    owner = torch.full(flat.shape[:2], -1)
    for number, color in enumerate(palette):
        distance = (flat - torch.tensor(color).float()).square_().sum(dim=2)
        owner[distance < least] = number
        torch.minimum(least, distance, out=least)
    owner[torch.from_numpy(~sample.opaque)] = -1
    return owner


def _parse_color(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color.removeprefix("#")))


def _name(mask: OpenedImage) -> str:
    return mask.name or "The mask"
