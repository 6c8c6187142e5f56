"""Views of a painting: mirrored, or turned by quarters. Measured together, they say more of its strokes.

Strokes and parts that a painting has in one direction only may then appear in others. Gatys et al. do not do this;
Kolkin et al. 2022 (2203.13215) turn the painting for their search of neighbors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from impasto.config.types import Augmentation
from impasto.core.masks import Region, StyleUse

__all__ = ["count_views", "view_regions", "view_styles"]

View = Callable[[Tensor], Tensor]


def _turn(quarters: int) -> View:
    return lambda image: torch.rot90(image, quarters, (2, 3)).contiguous()


VIEWS: dict[Augmentation, tuple[View, ...]] = {
    "none": (lambda image: image,),
    "mirror": (lambda image: image, lambda image: image.flip(3)),
    "rotate": tuple(_turn(quarters) for quarters in range(4)),
}
"""Functions of an image or a mask (1, C, H, W)."""


def count_views(augmentation: Augmentation) -> int:
    """Return the number of views of each style."""
    return len(VIEWS[augmentation])


def view_styles(styles: Sequence[tuple[float, Tensor]], augmentation: Augmentation) -> list[tuple[float, Tensor]]:
    """Return all views of the first style, then those of the second, …, each with its part of the style's share."""
    views = VIEWS[augmentation]
    return [(share / len(views), view(image)) for share, image in styles for view in views]


def view_regions(regions: Sequence[Region], augmentation: Augmentation) -> tuple[Region, ...]:
    """Return the regions with all views of the styles that they use, numbered as `view_styles` returns them."""
    views = VIEWS[augmentation]

    def uses(use: StyleUse) -> list[StyleUse]:
        first, share = use.style * len(views), use.share / len(views)
        masks = [None if use.mask is None else view(use.mask) for view in views]
        return [StyleUse(first + number, share, mask) for number, mask in enumerate(masks)]

    return tuple(replace(region, uses=tuple(view for use in region.uses for view in uses(use))) for region in regions)
