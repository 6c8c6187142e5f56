"""The inputs of a run as tensors: the pictures, the regions, and the sizes of the target."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from impasto.config.wrap import Dims
from impasto.core.atlas_margins import AtlasMargins
from impasto.core.constraints import Both, Constraint
from impasto.core.image import Picture, fit
from impasto.core.masks import Region
from impasto.core.panorama import Panorama
from impasto.core.protect import ProtectedImage
from impasto.core.pyramid import Scale
from impasto.core.target_image import resize_to_scale
from impasto.core.temporal import Reference, TemporalTerm
from impasto.core.tensor_store import TensorStore

__all__ = ["RunInputs", "Style"]


@dataclass(frozen=True)
class Style:
    """A style image, its share among the styles, and its long side relative to the target's."""

    picture: Picture
    share: float
    scale: float

    def resize_to_scale(self, scale: Scale, minimum_px: int) -> Tensor:
        """Resize the image for a scale; never enlarge it, and keep each side at least `minimum_px`."""
        pixels = self.picture.pixels
        height, width = pixels.shape[2:]
        long_side_px = round(self.scale * max(scale.height, scale.width))
        # A narrow style must not shrink below what the network needs only because the target starts small.
        long_side_px = max(long_side_px, math.ceil(minimum_px * max(height, width) / min(height, width)))
        height, width = fit(height, width, long_side_px, enlarge=False)
        return resize_to_scale(pixels, Scale(height, width, 0))


@dataclass(frozen=True)
class RunInputs:
    """The loaded pictures of a run, and the sizes of its target.

    At its last size the target is a little larger than the content where edges meet: see `config.wrap.fit_sides`.
    `regions` are painted from their own styles. `paint_mask`, (1, 1, H, W), is 0 where the content stays as it is.
    `move_colors` changes a painted target of any size, whose losses are those after it. `finish` turns the target at
    full size into the picture: it restores the content's colors where brightness alone was painted, and continues the
    painted colors under transparent parts. `recolored` is the content in the colors of the styles, where the target
    starts from it. With `panorama`, all of these are atlases, and `finish` returns the picture; `content.alpha` is that
    of the picture. `reference` is what a frame of a clip keeps to. `records` describe by role the files that all this
    came from.
    """

    content: Picture
    styles: tuple[Style, ...]
    init: Picture | None
    scales: tuple[Scale, ...]
    move_colors: Callable[[Tensor], Tensor] | None = None
    finish: Callable[[Tensor], Tensor] | None = None
    recolored: Picture | None = None
    regions: tuple[Region, ...] = ()
    paint_mask: Tensor | None = None
    panorama: Panorama | None = None
    reference: Reference | None = None
    records: Mapping[str, Any] = field(default_factory=dict)

    def lengthen(self, iterations: int) -> RunInputs:
        """Return the same inputs with more steps at full size."""
        *coarser, full = self.scales
        return replace(self, scales=(*coarser, replace(full, iterations=full.iterations + iterations)))

    @property
    def picture_size(self) -> tuple[int, int]:
        """The height and width of the finished picture."""
        height, width = self.content.pixels.shape[2:]
        return height, width

    def initial_picture(self, init: str) -> Picture | None:
        """Return the picture that the target starts from by `Config.init`; None: noise."""
        pictures = {"recolored": self.recolored, "content": self.content, "image": self.init}
        return self.styles[0].picture if init == "style" else pictures.get(init)

    def constraint_at(self, scale: Scale, store: TensorStore, wrap: Dims) -> Constraint | None:
        """Return what keeps pixels from being painted freely at one scale; None if nothing does."""
        found: list[Constraint] = []
        if self.reference is not None and self.reference.still is not None:
            kept, still = (
                resize_to_scale(image, scale).contiguous() for image in (self.reference.pixels, self.reference.still)
            )
            found.append(ProtectedImage(kept, 1 - still, store))
        if self.paint_mask is not None:
            content, mask = (resize_to_scale(image, scale, wrap) for image in (self.content.pixels, self.paint_mask))
            found.append(ProtectedImage(content, mask, store))
        if self.panorama is not None:
            found.append(AtlasMargins(self.panorama, store))
        return functools.reduce(Both, found) if found else None

    def temporal_term_at(self, scale: Scale, store: TensorStore) -> TemporalTerm | None:
        """Return the term that keeps a frame of a clip to earlier ones, None for other pictures."""
        if self.reference is None:
            return None
        pixels, confidence = (
            resize_to_scale(image, scale) for image in (self.reference.pixels, self.reference.confidence)
        )
        return TemporalTerm(Reference(pixels.contiguous(), confidence.contiguous(), self.reference.weight), store)

    def fill_margins(self, image: Tensor, store: TensorStore) -> Tensor:
        """Return an image of the target's layout with the margins that a panorama has there."""
        return image if self.panorama is None else AtlasMargins(self.panorama, store).apply(image)
