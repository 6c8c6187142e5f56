"""Color bars: the legend of a heat map."""

from __future__ import annotations

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from impasto.render.grid import from_pil, to_pil
from impasto.render.heatmap import heatmap
from impasto.render.text import MUTED, PAPER, draw_text, line_height_px, load_font, text_width_px

__all__ = ["draw_colorbar"]

FONT_PX = 12
BAR_PX = 12

INTEGERS_FROM = 100
"""Numbers from this one on are written without decimals."""


def draw_colorbar(highest: float, side_px: int) -> Tensor:
    """Draw the colors from 0 to `highest` with numbers at both ends and in the middle, (1, 3, H, W)."""
    font = load_font(FONT_PX)
    page = Image.new("RGB", (side_px, BAR_PX + line_height_px(font)), PAPER)
    page.paste(to_pil(heatmap(torch.linspace(0, 1, side_px).expand(BAR_PX, -1), side_px)), (0, 0))
    draw = ImageDraw.Draw(page)
    for share in (0.0, 0.5, 1.0):
        value = share * highest
        text = f"{value:,.0f}" if value >= INTEGERS_FROM else f"{value:.3g}"
        draw_text(draw, (round(share * (side_px - text_width_px(text, font))), BAR_PX + 2), text, font, MUTED)
    return from_pil(page)
