"""Opening a picture to look at it through a network: what every view begins with."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from impasto import images
from impasto.run import Run, prepare_run

__all__ = ["SIZE_PX", "display_names", "load_view_image", "prepare_view"]

SIZE_PX = 256
"""Long side of what is looked at, where nothing else is asked for: large enough to see, and quick."""


def prepare_view(picture: Any, **options: Any) -> Run:
    """A session whose content and style are one picture; options by name as for `stylize`."""
    return prepare_run(picture, picture, **({"size": SIZE_PX} | options))


def load_view_image(ready: Run, picture: Any, layers: Iterable[str] | None = None) -> Tensor:
    """A picture (1, 3, H, W) at the size of a session, large enough for `layers`, or all that the session measures.

    Raises `ImageError`, `LayerError` if it is too small.
    """
    config = ready.config
    pixels = images.load(
        picture, long_side_px=config.size, enlarge=config.enlarge, max_megapixels=ready.options.max_megapixels
    ).pixels
    if layers is None:
        layers = [layer.name for layer in (*config.content_layers, *config.style_layers)]
    ready.encoder.require_size(pixels, layers, what=images.name_of(picture) or "The picture")
    return pixels


def display_names(pictures: Sequence[Any]) -> list[str]:
    """What pictures are called on a sheet; files of one name have so many of their folders as tell them apart."""
    names = [images.name_of(picture) or f"picture {number}" for number, picture in enumerate(pictures, start=1)]
    files = {at: Path(file).parts for at, file in enumerate(pictures) if isinstance(file, (str, os.PathLike))}
    for depth in range(2, max(map(len, files.values()), default=0) + 1):
        named = Counter(name for name, _ in {(names[at], parts) for at, parts in files.items()})
        for at, parts in files.items():
            if named[names[at]] > 1:
                names[at] = "/".join(images.name_of(part) or part for part in parts[-depth:])
    return names
