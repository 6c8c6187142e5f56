"""Measure three changes to a photo by its pixels and by the features of a network.

python examples/why_not_pixels.py [pixels.jpg]
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch.nn.functional as F

from impasto import images, samples
from impasto.core.losses import content_error, energy
from impasto.insight.inputs import prepare_view
from impasto.render.grid import Cell, draw_grid

LAYER, EDGE = "relu4_2", 8


def main(output: str = "pixels.jpg", *, size: int = 256) -> None:
    """Measure each change twice and draw it with both numbers."""
    photo = samples.photo_path("cat")
    engine = prepare_view(photo, size=size).engine
    large = images.load(photo, long_side_px=size + 2 * EDGE).pixels
    cropped = large[:, :, EDGE:-EDGE, EDGE:-EDGE].contiguous()
    blurred = F.avg_pool2d(F.pad(cropped, (3, 3, 3, 3), mode="replicate"), 7, stride=1)
    shifted = large[:, :, EDGE // 2 : -EDGE * 3 // 2, EDGE // 2 : -EDGE * 3 // 2].contiguous()
    changes = {"the photo": cropped, "blurred": blurred, "moved by 4 pixels": shifted, "darker": 0.8 * cropped}
    target = engine.features(cropped, [LAYER])[LAYER]
    cells = []
    for name, image in changes.items():
        # region both errors
        pixels = float((image - cropped).square().mean() / cropped.var())
        content = float(content_error(engine.features(image, [LAYER])[LAYER], target)[0] / energy([target]))
        # endregion
        print(f"{name}: pixels {pixels:.3f}, {LAYER} {content:.3f}")
        cells.append(Cell(image, f"pixels {pixels:.2f}, features {content:.2f}"))
    images.save(Path(output), draw_grid([cells], column_labels=list(changes)))


if __name__ == "__main__":
    main(*sys.argv[1:2])
