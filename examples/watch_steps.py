"""Show the target at some steps of a run, side by side.

python examples/watch_steps.py [stages.jpg]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import impasto
from impasto import images, samples
from impasto.core.image import resize
from impasto.render.grid import Cell, draw_grid

SHOWN = {1, 3, 10, 30, 60, 120}
"""Step numbers, counted over all sizes."""


def main(output: str = "stages.jpg", *, size: int = 224, **options: Any) -> None:
    """Iterate over the steps of a run and keep some images."""
    photo, painting = samples.photo_path("cat"), samples.paint("swirl", size_px=size)
    height, width = images.load(photo, long_side_px=size).pixels.shape[2:]
    views = []
    # region steps
    for number, progress in enumerate(impasto.stylize_steps(photo, painting, size=size, **options), start=1):
        if number in SHOWN or progress.is_last:
            # endregion
            # The next step overwrites progress.image: copy it.
            view = resize(progress.image.clone(), height, width).clamp(0, 1)
            views.append(Cell(view, f"step {number}, loss {float(progress.losses.total):.2f}"))
    half = (len(views) + 1) // 2
    images.save(Path(output), draw_grid([views[:half], views[half:]]))


if __name__ == "__main__":
    main(*sys.argv[1:2])
