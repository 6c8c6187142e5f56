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

from impasto.insight.lettering import INK, PALE, PAPER, Font, fitted, font, height_px, width_px, write

__all__ = ["Cell", "drawn", "lay_out", "pasted", "stacked"]

GAP = 0.6
"""Space between cells, in letters' heights."""

WIDEST_NAME = 14
"""Room for the names of rows and columns at most, in letters' heights."""


@dataclass(frozen=True)
class Cell:
    """A picture, and a line beneath it, which the column is wide enough for: it may hold numbers."""

    image: Tensor
    caption: str = ""


def lay_out(
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
    letters = font(_letters_px(wide))
    heads = [min(width_px(text, letters), round(letters.size * WIDEST_NAME)) for text in columns]
    for at in range(count):
        captions = (width_px(cell.caption, letters) for row in cells for cell in row[at : at + 1] if cell)
        wide[at] = max(wide[at], *heads[at : at + 1], *captions)
    line, gap = height_px(letters), round(letters.size * GAP)
    heading = font(round(letters.size * 1.35))
    beside = min(max((width_px(name, letters) for name in names), default=0), round(letters.size * WIDEST_NAME))
    left = gap + (beside + gap if beside else 0)
    captioned = [line if any(cell and cell.caption for cell in row) else 0 for row in cells]
    top = gap + (height_px(heading) if title else 0) + (line if note else 0) + (gap if title or note else 0)
    body = top + (line + gap // 2 if columns else 0)
    width = left + sum(wide) + gap * count
    width = max(width, 2 * gap + max(width_px(title, heading), width_px(note, letters)))
    height = body + sum(tall) + sum(captioned) + gap * len(cells)
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    if title:
        write(draw, (gap, gap), title, heading)
    if note:
        write(draw, (gap, gap + (height_px(heading) if title else 0)), note, letters, PALE)
    x = left
    for column, room in enumerate(wide):
        if column < len(columns):
            _centered(draw, (x, top), room, columns[column], letters)
        x += room + gap
    y = body
    for number, row in enumerate(cells):
        if number < len(names):
            text = fitted(names[number], letters, beside)
            write(draw, (left - gap - width_px(text, letters), y + (tall[number] - line) // 2), text, letters)
        x = left
        for room, cell in zip(wide, row, strict=False):
            if cell is not None:
                high, across = cell.image.shape[2:]
                page.paste(pasted(cell.image), (x + (room - across) // 2, y + (tall[number] - high) // 2))
                _centered(draw, (x, y + tall[number] + line // 8), room, cell.caption, letters, PALE)
            x += room + gap
        y += tall[number] + captioned[number] + gap
    return drawn(page)


def stacked(sheets: Sequence[Tensor]) -> Tensor:
    """Sheets beneath each other, on paper as wide as the widest."""
    width, height = max(sheet.shape[3] for sheet in sheets), sum(sheet.shape[2] for sheet in sheets)
    page = Image.new("RGB", (width, height), PAPER)
    y = 0
    for sheet in sheets:
        page.paste(pasted(sheet), (0, y))
        y += sheet.shape[2]
    return drawn(page)


def pasted(image: Tensor) -> Image.Image:
    """A tensor (1, 3, H, W) as a Pillow image."""
    return Image.fromarray((image[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy())


def drawn(page: Image.Image) -> Tensor:
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
    text = fitted(text, letters, room_px)
    write(draw, (at[0] + (room_px - width_px(text, letters)) // 2, at[1]), text, letters, color)
