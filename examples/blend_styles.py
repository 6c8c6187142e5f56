"""Blend two styles: from all of the one to all of the other.

python examples/blend_styles.py [blend.jpg]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import impasto
from impasto import images, samples
from impasto.render.grid import Cell, draw_grid

SHARES = ("1,0", "2,1", "1,1", "1,2", "0,1")


def main(output: str = "blend.jpg", *, size: int = 224, **options: Any) -> None:
    """Paint the photo once for each pair of shares."""
    photo = samples.photo_path("cat")
    styles = [samples.paint(name, size_px=size) for name in ("swirl", "mosaic")]
    cells = []
    for shares in SHARES:
        result = impasto.stylize(photo, styles, style_weights=shares, size=size, **options)
        cells.append(Cell(result.image, f"swirl, mosaic: {shares}"))
    images.save(Path(output), draw_grid([cells]))


if __name__ == "__main__":
    main(*sys.argv[1:2])
