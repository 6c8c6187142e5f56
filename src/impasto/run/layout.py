"""The layout of the target: which of it is painted, where content lies in it, and how it becomes the picture."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from impasto.config import Config, ResolvedConfig
from impasto.core.image import Picture
from impasto.core.panorama import Panorama
from impasto.core.pyramid import Scale
from impasto.core.style_losses import needs_features
from impasto.core.target_image import resize_to_cover
from impasto.core.tensor_store import TensorStore
from impasto.errors import ImageError
from impasto.images import Mask, OpenedImage, bleed

__all__ = ["Layout", "find_layout", "find_panorama"]

logger = logging.getLogger("impasto")

ASPECT_TOLERANCE_PX = 2
"""How far a panorama's width may be from twice its height."""


@dataclass(frozen=True)
class Layout:
    """The layout of one run's target.

    `panorama` lays the content out in an atlas. `reach` (1, 1, H, W), at the size of the picture, is 1 where it is
    painted; the painted colors continue outside. None: the content as it is, and all of it.
    """

    panorama: Panorama | None
    reach: Tensor | None
    store: TensorStore

    def lay_out(self, image: Tensor) -> Tensor:
        """Return an image (1, C, H, W) of the content's aspect as it lies in the target."""
        return image if self.panorama is None else self.panorama.to_atlas(image)

    def lay_out_picture(self, picture: Picture) -> Picture:
        """Return a picture as it lies in the target. Its alpha stays that of the picture."""
        return replace(picture, pixels=self.lay_out(picture.pixels))

    def lay_out_start(self, picture: Picture) -> Picture:
        """Return the picture that the target starts from as it lies in the target, cropped to the content's aspect."""
        if self.panorama is None:
            return picture
        pixels = resize_to_cover(picture.pixels, Scale(self.panorama.height, self.panorama.width, 0))
        return replace(picture, pixels=self.lay_out(pixels))

    def lay_out_mask(self, mask: Mask) -> Mask:
        """Return a mask as it lies in the target."""
        return replace(mask, areas={color: self.lay_out(area) for color, area in mask.areas.items()})

    def finish_with(self, restore_colors: Callable[[Tensor], Tensor] | None) -> Callable[[Tensor], Tensor] | None:
        """Return the function that turns a target into the picture; None if it is the picture."""
        if restore_colors is None and self.panorama is None and self.reach is None:
            return None

        def finish(painted: Tensor) -> Tensor:
            picture = painted if restore_colors is None else restore_colors(painted)
            if self.panorama is not None:
                picture = self.panorama.to_picture(picture)
            return picture if self.reach is None else bleed.continue_painted(picture, self.reach, self.store)

        return finish


def find_layout(opened: OpenedImage, content: Picture, config: ResolvedConfig, store: TensorStore) -> Layout:
    """Return the layout for a content image. With `bleed_alpha`, its opaque colors are extended in place.

    Raises `ImageError` if it should be a panorama and is none.
    """
    height, width = content.pixels.shape[2:]
    return Layout(find_panorama(opened, (height, width), config), _bleed(content, config), store)


def find_panorama(content: OpenedImage, size: tuple[int, int], config: Config) -> Panorama | None:
    """Return the layout of a panorama of this size, (height, width), or None if the content is to be a flat picture.

    Raises `ImageError` unless the content is twice as wide as high.
    """
    if not config.panorama:
        return None
    if abs(content.width - 2 * content.height) > ASPECT_TOLERANCE_PX:
        raise ImageError(
            f"{content.label} has {content.width}x{content.height} px, and a panorama of 360° by 180° is twice as wide "
            "as high. Extend it to that, or leave out `panorama`."
        )
    return Panorama(*size)


def _bleed(content: Picture, config: ResolvedConfig) -> Tensor | None:
    """Extend the content's opaque colors, and return the mask of what is to be painted; None: all of it."""
    if not config.bleed_alpha:
        return None
    distance_px = round(config.supersample * config.bleed_alpha)
    reach = bleed.bleed_mask(content.alpha, distance_px) if content.alpha is not None else None
    if content.alpha is None or reach is None:
        logger.warning("bleed_alpha has no effect: %s has no transparent parts.", content.name or "the content")
        return None
    bleed.extend_colors(content.pixels, content.alpha, distance_px)
    # Statistics without masks measure what lies beyond as well.
    return None if needs_features(config.style_loss) else reach
