"""Numbers as colors: one color map for all that is no picture.

The anchors are viridis' (Smith & van der Walt for matplotlib, CC0): evenly spaced to the eye, and legible without
color vision.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.core.image import fit, resize

__all__ = ["heatmap"]

ANCHORS = ("440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725")

SQUARES_FROM = 2
"""Pixels for a value from which each is drawn as a square."""

_COLORS = torch.tensor([[int(anchor[at : at + 2], 16) / 255 for at in (0, 2, 4)] for anchor in ANCHORS])


def heatmap(values: Tensor, side_px: int, *, highest: float | None = None) -> Tensor:
    """A map of values (h, w) from 0 to `highest`, dark to bright, as an image whose long side is `side_px`."""
    highest = float(values.max()) if highest is None else highest
    placed = (values.float() / max(highest, 1e-30)).clamp(0, 1) * (len(ANCHORS) - 1)
    below = placed.floor().long().clamp(max=len(ANCHORS) - 2)
    image = torch.lerp(_COLORS[below], _COLORS[below + 1], (placed - below)[..., None]).permute(2, 0, 1)[None]
    factor = side_px / max(values.shape)
    size = fit(values.shape[0], values.shape[1], side_px, enlarge=True)
    # Squares where they are large enough to be seen as such.
    return (
        F.interpolate(image, size, mode="nearest-exact") if factor >= SQUARES_FROM else resize(image, *size).clamp(0, 1)
    )
