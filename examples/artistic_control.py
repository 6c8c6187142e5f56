"""Draw docs/control.jpg: one photo, and what single flags make of it. Takes some minutes.

python examples/artistic_control.py [--size 256]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pyvips
import torch
from torch import Tensor

import impasto
from impasto import images, samples

PAGE = Path(__file__).parent.parent / "docs" / "control.jpg"
COLUMNS, GAP_PX, CAPTION_PX = 3, 10, 26

PANELS: tuple[tuple[str, tuple[str, ...], dict[str, Any]], ...] = (
    ("swirl", ("swirl",), {}),
    ("swirl mosaic", ("swirl", "mosaic"), {}),
    ("swirl mosaic --style-weights 1,3", ("swirl", "mosaic"), {"style_weights": "1,3"}),
    ("--style-scale 0.5", ("swirl",), {"style_scale": 0.5}),
    ("--color luminance", ("swirl",), {"color": "luminance"}),
    ("--color match", ("swirl",), {"color": "match"}),
    ("--style-loss covariance", ("swirl",), {"style_loss": "covariance"}),
    ("--style-loss mean-std", ("swirl",), {"style_loss": "mean-std"}),
    ("--style-loss wasserstein", ("swirl",), {"style_loss": "wasserstein"}),
)
"""Caption, styles, options."""


def main() -> None:
    """Paint every panel and lay them out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    size = parser.parse_args().size
    photo = samples.photo_path("cat")
    panels = []
    for text, names, options in PANELS:
        styles = [samples.paint(name, size_px=2 * size) for name in names]
        panels.append(captioned(impasto.stylize(photo, styles, size=size, **options).image, text))
    rows = [torch.cat(panels[first : first + COLUMNS], dim=3) for first in range(0, len(panels), COLUMNS)]
    images.save(PAGE, torch.cat(rows, dim=2), quality=85)


def captioned(image: Tensor, text: str) -> Tensor:
    """An image with its caption below and white around, (1, 3, H, W)."""
    height, width = image.shape[2:]
    panel = torch.ones(1, 3, height + CAPTION_PX + GAP_PX, width + GAP_PX)
    panel[:, :, :height, :width] = image
    letters = torch.from_numpy(pyvips.Image.text(text, font="sans 10", dpi=96).numpy()) / 255
    tall, wide = min(letters.shape[0], CAPTION_PX), min(letters.shape[1], width)
    panel[:, :, height + 4 : height + 4 + tall, 2 : 2 + wide] -= letters[:tall, :wide]
    return panel.clamp(0, 1)


if __name__ == "__main__":
    main()
