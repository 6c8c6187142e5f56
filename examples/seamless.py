"""Paint two textures, one of them without a seam, and a photo without a seam; lay out four copies of each.

python examples/seamless.py [seamless.jpg]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import impasto
from impasto import Config, images, samples
from impasto.config.presets import load_preset
from impasto.render.grid import Cell, draw_grid


def lay_out(tile: Tensor) -> Tensor:
    """Return four copies of a picture (1, 3, H, W), two by two."""
    return torch.cat([torch.cat([tile, tile], dim=3)] * 2, dim=2)


def main(output: str = "seamless.jpg", *, size: int = 128, **options: Any) -> None:
    """Paint the texture of a painting, with edges that do not meet and with edges that do, and a photo."""
    painting = samples.paint("swirl", size_px=size)
    cells = []
    for wrap in ("none", "both"):
        config = load_preset("texture", wrap=wrap, size=size, **options)
        result = impasto.stylize(painting, painting, config)
        cells.append(Cell(lay_out(result.image), f"texture, wrap: {wrap}"))
    mosaic, seamless = (
        samples.paint("mosaic", size_px=size),
        Config(wrap="both", content_seam="blend", size=size, **options),
    )
    photo = impasto.stylize(samples.photo_path("cat"), mosaic, seamless)
    cells.append(Cell(lay_out(photo.image), "photo, wrap: both"))
    images.save(Path(output), draw_grid([cells]), quality=88)


if __name__ == "__main__":
    main(*sys.argv[1:2])
