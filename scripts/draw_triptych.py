"""Draw docs/demo.jpg: the sample photo, the sample painting, and the result of the demo."""

from __future__ import annotations

from pathlib import Path

import torch

import impasto
from impasto import images, samples
from impasto.core.image import resize

PAGE = Path(__file__).parent.parent / "docs" / "demo.jpg"
GAP_PX = 12


def main() -> None:
    """Paint the demo and put the three pictures side by side."""
    result = impasto.stylize(samples.photo_path("cat"), samples.paint("swirl"))
    height, width = result.image.shape[2:]
    style = images.load(samples.paint("swirl")).pixels
    panels = [
        images.load(samples.photo_path("cat"), long_side_px=max(height, width)).pixels,
        resize(style, height, round(height * style.shape[3] / style.shape[2])),
        result.image,
    ]
    gap = torch.ones(1, 3, height, GAP_PX)
    images.save(PAGE, torch.cat([panels[0], gap, panels[1], gap, panels[2]], dim=3), quality=85)


if __name__ == "__main__":
    main()
