"""Opening a picture to look at it through a network: what every view begins with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from impasto import images
from impasto.compose import Session, session
from impasto.picture import fit, resize

__all__ = ["SIZE_PX", "opened", "seen", "thumbnail"]

SIZE_PX = 256
"""Long side of what is looked at, where nothing else is asked for: large enough to see, and quick."""


def opened(picture: Any, **options: Any) -> Session:
    """A session whose content and style are one picture; options by name as for `stylize`."""
    return session(picture, picture, **({"size": SIZE_PX} | options))


def seen(ready: Session, picture: Any, layers: Iterable[str] | None = None) -> Tensor:
    """A picture (1, 3, H, W) at the size of a session, large enough for `layers`, or all that the session measures.

    Raises `ImageError`, `LayerError` if it is too small.
    """
    config = ready.config
    pixels = images.load(
        picture, long_side_px=config.size, enlarge=config.enlarge, max_megapixels=ready.run.max_megapixels
    ).pixels
    if layers is None:
        layers = [layer.name for layer in (*config.content_layers, *config.style_layers)]
    ready.encoder.require_size(pixels, layers, what=images.name_of(picture) or "The picture")
    return pixels


def thumbnail(image: Tensor, long_side_px: int) -> Tensor:
    """An image made smaller where it is larger than this."""
    return resize(image, *fit(image.shape[2], image.shape[3], long_side_px, enlarge=False)).clamp(0, 1)
