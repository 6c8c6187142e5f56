"""Pictures for the views: loading one at the size of a run, and naming several."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from impasto import images
from impasto.config.presets import load_preset
from impasto.config.print_size import NO_PRINT
from impasto.core.framing import Frame
from impasto.run import Run, prepare_run

__all__ = ["DEFAULT_SIZE_PX", "PLAIN_METHOD", "display_names", "load_view_image", "prepare_view", "with_view_size"]

PLAIN_METHOD = load_preset("classic").overrides() | {"init": "noise"}
"""Options of the method that the views explain: Gram matrices, at the published layers, from noise."""

DEFAULT_SIZE_PX = 256
"""Default long side of a view: large enough to see, and fast."""


def with_view_size(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with the default size of a view, unless they are those of a print."""
    return {**({} if options.get("print", NO_PRINT) != NO_PRINT else {"size": DEFAULT_SIZE_PX}), **options}


def prepare_view(picture: Any, **options: Any) -> Run:
    """Prepare a run whose content and style are the same picture; options as for `stylize`."""
    return prepare_run(picture, picture, **with_view_size(options))


def load_view_image(
    run: Run, picture: Any, layers: Iterable[str] | None = None, *, frame: Frame | None = None
) -> Tensor:
    """Load a picture (1, 3, H, W) at the size of a run, in the `frame` of a print if given.

    Raises `ImageError`, and `LayerError` if it is too small for `layers` (default: all layers of the run).
    """
    config = run.planned
    pixels = images.load(
        picture,
        long_side_px=config.longest_px,
        enlarge=config.enlarge,
        frame=frame,
        max_megapixels=run.options.max_megapixels,
    ).pixels
    if layers is None:
        layers = [layer.name for layer in (*config.content_layers, *config.style_layers)]
    run.encoder.require_size(pixels, layers, what=images.get_name(picture) or "The picture")
    return pixels


def display_names(pictures: Sequence[Any]) -> list[str]:
    """Name pictures for a sheet. Files of the same name get as many folders as tell them apart."""
    names = [images.get_name(picture) or f"picture {number}" for number, picture in enumerate(pictures, start=1)]
    files = {at: Path(file).parts for at, file in enumerate(pictures) if isinstance(file, (str, os.PathLike))}
    for depth in range(2, max(map(len, files.values()), default=0) + 1):
        uses = Counter(name for name, _ in {(names[at], parts) for at, parts in files.items()})
        for at, parts in files.items():
            if uses[names[at]] > 1:
                names[at] = "/".join(images.get_name(part) or part for part in parts[-depth:])
    return names
