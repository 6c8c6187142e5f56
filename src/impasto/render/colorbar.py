"""A color bar: which color is which number."""

from __future__ import annotations

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from impasto.render.grid import from_pil, to_pil
from impasto.render.heatmap import heatmap
from impasto.render.text import MUTED, PAPER, draw_text, line_height_px, load_font, text_width_px

__all__ = ["draw_colorbar"]

LETTERS_PX = 12
MANY = 100
"""From this number on fractions are left out."""


def draw_colorbar(highest: float, side_px: int) -> Tensor:
    """The colors of `heatmap` from 0 to `highest`, with numbers at both ends and in the middle, (1, 3, H, W)."""
    letters = load_font(LETTERS_PX)
    thick = LETTERS_PX
    page = Image.new("RGB", (side_px, thick + line_height_px(letters)), PAPER)
    page.paste(to_pil(heatmap(torch.linspace(0, 1, side_px).expand(thick, -1), side_px)), (0, 0))
    draw = ImageDraw.Draw(page)
    for share in (0.0, 0.5, 1.0):
        value = share * highest
        text = f"{value:,.0f}" if value >= MANY else f"{value:.3g}"
        draw_text(draw, (round(share * (side_px - text_width_px(text, letters))), thick + 2), text, letters, MUTED)
    return from_pil(page)
