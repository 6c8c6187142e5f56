"""Calm areas of a photo, such as a plain sky or still water, where content may weigh more.

Style does not depend on positions, so what a painting has most of, such as faces or stars, is painted where the content
resists least: where the photo has no structure of its own.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from impasto.config.wrap import Dims
from impasto.core.image import pad_sides, thumbnail

__all__ = ["calm_map", "weigh_positions"]

MAP_PX, WINDOW_PX = 256, 7
"""Long side of the picture that is looked at, and of the window in it: what is calm does not depend on the size."""

MIN_DEVIATION = 0.02
"""Deviation of the lightness that is added: below it, grain decides."""


def calm_map(content: Tensor, wrap: Dims = ()) -> Tensor:
    """Return how calm an image (1, 3, H, W) is at each place, as (1, 1, h, w): one over the deviation of lightness.

    Its edges meet along the dimensions `wrap`.
    """
    light = thumbnail(content, MAP_PX).mean(dim=1, keepdim=True)

    def average(values: Tensor) -> Tensor:
        down, across = (0 if dim in wrap else WINDOW_PX // 2 for dim in (2, 3))
        around = pad_sides(values, WINDOW_PX // 2, wrap)
        return F.avg_pool2d(around, WINDOW_PX, stride=1, padding=(down, across), count_include_pad=False)

    return 1 / (average((light - average(light)).square()).sqrt() + MIN_DEVIATION)


def weigh_positions(calm: Tensor, size: tuple[int, ...], extra: float) -> Tensor:
    """Return the weights (h, w) of the positions of a layer: 1, and `extra` on average by how calm they are."""
    resized = F.interpolate(calm, size, mode="bilinear", align_corners=False)[0, 0]
    return 1 + extra * resized / resized.mean()
