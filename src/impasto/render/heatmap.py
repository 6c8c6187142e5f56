"""Heat maps: numbers as colors, with one color map for everything that is not a picture.

The anchors are viridis' (Smith & van der Walt for matplotlib, CC0): perceptually even, and legible without color
vision.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.core.image import fit, resize

__all__ = ["heatmap"]

ANCHORS = ("440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725")

MIN_SQUARE_PX = 2
"""From this size of a value on, each is drawn as a square; smaller ones are interpolated."""

_COLORS = torch.tensor([[int(anchor[at : at + 2], 16) / 255 for at in (0, 2, 4)] for anchor in ANCHORS])


def heatmap(values: Tensor, side_px: int, *, highest: float | None = None) -> Tensor:
    """Draw values (h, w) from 0 to `highest`, dark to bright, as an image with the long side `side_px`."""
    highest = float(values.max()) if highest is None else highest
    position = (values.float() / max(highest, 1e-30)).clamp(0, 1) * (len(ANCHORS) - 1)
    below = position.floor().long().clamp(max=len(ANCHORS) - 2)
    image = torch.lerp(_COLORS[below], _COLORS[below + 1], (position - below)[..., None]).permute(2, 0, 1)[None]
    size = fit(values.shape[0], values.shape[1], side_px, enlarge=True)
    if side_px / max(values.shape) >= MIN_SQUARE_PX:
        return F.interpolate(image, size, mode="nearest-exact")
    return resize(image, *size).clamp(0, 1)
