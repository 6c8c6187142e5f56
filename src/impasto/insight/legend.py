"""A color bar: which color is which number."""

from __future__ import annotations

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from impasto.insight.heat import heat
from impasto.insight.lettering import PALE, PAPER, font, height_px, width_px, write
from impasto.insight.sheet import drawn, pasted

__all__ = ["color_bar"]

LETTERS_PX = 12
MANY = 100
"""From this number on fractions are left out."""


def color_bar(highest: float, side_px: int) -> Tensor:
    """The colors of `heat` from 0 to `highest`, with numbers at both ends and in the middle, (1, 3, H, W)."""
    letters = font(LETTERS_PX)
    thick = LETTERS_PX
    page = Image.new("RGB", (side_px, thick + height_px(letters)), PAPER)
    page.paste(pasted(heat(torch.linspace(0, 1, side_px).expand(thick, -1), side_px)), (0, 0))
    draw = ImageDraw.Draw(page)
    for share in (0.0, 0.5, 1.0):
        value = share * highest
        text = f"{value:,.0f}" if value >= MANY else f"{value:.3g}"
        write(draw, (round(share * (side_px - width_px(text, letters))), thick + 2), text, letters, PALE)
    return drawn(page)
