"""Contact sheets: pictures in rows and columns, with labels, evenly spaced, on paper.

Laws: a picture is an image tensor (1, 3, H, W) in [0, 1], and so is the sheet. Pictures are laid out as they are,
never resized; a cell is as large as the largest of its row and column, and a picture stands in its middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from impasto.render.text import (
    INK,
    MUTED,
    PAPER,
    Font,
    draw_text,
    line_height_px,
    load_font,
    text_width_px,
    truncate_middle,
)

__all__ = ["Cell", "draw_grid", "from_pil", "stack_grids", "to_pil"]

GAP = 0.6
"""Space between cells, in letters' heights."""

WIDEST_NAME = 14
"""Room for the names of rows and columns at most, in letters' heights."""


@dataclass(frozen=True)
class Cell:
    """A picture, and a line beneath it, which the column is wide enough for: it may hold numbers."""

    image: Tensor
    caption: str = ""


def draw_grid(
    rows: Sequence[Sequence[Tensor | Cell | None]],
    *,
    columns: Sequence[str] = (),
    names: Sequence[str] = (),
    title: str = "",
    note: str = "",
) -> Tensor:
    """A sheet (1, 3, H, W) of `rows`; `columns` are labels above, `names` beside, `note` stands beneath the title."""
    cells = [[Cell(cell) if isinstance(cell, Tensor) else cell for cell in row] for row in rows]
    count = max(len(row) for row in cells)
    wide = [_largest(cells, column, 3) for column in range(count)]
    tall = [max((cell.image.shape[2] for cell in row if cell), default=0) for row in cells]
    letters = load_font(_letters_px(wide))
    heads = [min(text_width_px(text, letters), round(letters.size * WIDEST_NAME)) for text in columns]
    for at in range(count):
        captions = (text_width_px(cell.caption, letters) for row in cells for cell in row[at : at + 1] if cell)
        wide[at] = max(wide[at], *heads[at : at + 1], *captions)
    line, gap = line_height_px(letters), round(letters.size * GAP)
    heading = load_font(round(letters.size * 1.35))
    beside = min(max((text_width_px(name, letters) for name in names), default=0), round(letters.size * WIDEST_NAME))
    left = gap + (beside + gap if beside else 0)
    captioned = [line if any(cell and cell.caption for cell in row) else 0 for row in cells]
    top = gap + (line_height_px(heading) if title else 0) + (line if note else 0) + (gap if title or note else 0)
    body = top + (line + gap // 2 if columns else 0)
    width = left + sum(wide) + gap * count
    width = max(width, 2 * gap + max(text_width_px(title, heading), text_width_px(note, letters)))
    height = body + sum(tall) + sum(captioned) + gap * len(cells)
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    if title:
        draw_text(draw, (gap, gap), title, heading)
    if note:
        draw_text(draw, (gap, gap + (line_height_px(heading) if title else 0)), note, letters, MUTED)
    x = left
    for column, room in enumerate(wide):
        if column < len(columns):
            _centered(draw, (x, top), room, columns[column], letters)
        x += room + gap
    y = body
    for number, row in enumerate(cells):
        if number < len(names):
            text = truncate_middle(names[number], letters, beside)
            draw_text(draw, (left - gap - text_width_px(text, letters), y + (tall[number] - line) // 2), text, letters)
        x = left
        for room, cell in zip(wide, row, strict=False):
            if cell is not None:
                high, across = cell.image.shape[2:]
                page.paste(to_pil(cell.image), (x + (room - across) // 2, y + (tall[number] - high) // 2))
                _centered(draw, (x, y + tall[number] + line // 8), room, cell.caption, letters, MUTED)
            x += room + gap
        y += tall[number] + captioned[number] + gap
    return from_pil(page)


def stack_grids(sheets: Sequence[Tensor]) -> Tensor:
    """Sheets beneath each other, on paper as wide as the widest."""
    width, height = max(sheet.shape[3] for sheet in sheets), sum(sheet.shape[2] for sheet in sheets)
    page = Image.new("RGB", (width, height), PAPER)
    y = 0
    for sheet in sheets:
        page.paste(to_pil(sheet), (0, y))
        y += sheet.shape[2]
    return from_pil(page)


def to_pil(image: Tensor) -> Image.Image:
    """A tensor (1, 3, H, W) as a Pillow image."""
    return Image.fromarray((image[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy())


def from_pil(page: Image.Image) -> Tensor:
    """A Pillow image as a tensor (1, 3, H, W)."""
    return torch.from_numpy(np.array(page)).permute(2, 0, 1)[None].float() / 255


def _largest(cells: Sequence[Sequence[Cell | None]], column: int, side: int) -> int:
    return max((cell.image.shape[side] for row in cells for cell in row[column : column + 1] if cell), default=0)


def _letters_px(wide: Sequence[int]) -> int:
    """Letters that suit the cells: legible, and no louder than the pictures."""
    return min(max(round(sorted(wide)[len(wide) // 2] / 15), 12), 28)


def _centered(
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    room_px: int,
    text: str,
    letters: Font,
    color: tuple[int, int, int] = INK,
) -> None:
    text = truncate_middle(text, letters, room_px)
    draw_text(draw, (at[0] + (room_px - text_width_px(text, letters)) // 2, at[1]), text, letters, color)
