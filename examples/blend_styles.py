"""Blend two styles, from only the first to only the second.

python examples/blend_styles.py [blend.jpg]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import impasto
from impasto import images, samples
from impasto.render.grid import Cell, draw_grid

WEIGHTS = ("1,0", "2,1", "1,1", "1,2", "0,1")


def main(output: str = "blend.jpg", *, size: int = 224, **options: Any) -> None:
    """Paint the photo with each pair of weights."""
    photo = samples.photo_path("cat")
    styles = [samples.paint(name, size_px=size) for name in ("swirl", "mosaic")]
    cells = []
    for weights in WEIGHTS:
        result = impasto.stylize(photo, styles, style_weights=weights, size=size, **options)
        cells.append(Cell(result.image, f"swirl, mosaic: {weights}"))
    images.save(Path(output), draw_grid([cells]))


if __name__ == "__main__":
    main(*sys.argv[1:2])
