"""Grids: pictures in rows and columns, with labels, on one sheet.

Laws: a picture is an image tensor (1, 3, H, W) in [0, 1], and so is the sheet. Pictures are never resized; a cell is
as large as the largest of its row and column, and a picture is centered in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from impasto.core.display import Sheet, to_pil
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
"""Space between cells, in font heights."""

MAX_LABEL = 14
"""Maximum width of a row's or column's label, in font heights."""

MIN_FONT_PX, MAX_FONT_PX = 12, 28
TITLE_SCALE = 1.35


@dataclass(frozen=True)
class Cell:
    """A picture with a caption below. Captions are never shortened, because they may hold numbers."""

    image: Tensor
    caption: str = ""


@dataclass(frozen=True)
class _Labels:
    """All texts of a grid, except captions."""

    columns: Sequence[str]
    rows: Sequence[str]
    title: str
    note: str


@dataclass(frozen=True)
class _Layout:
    """Fonts and measures of a grid, in pixels. `left` and `top` are where cells begin."""

    font: Font
    title_font: Font
    gap: int
    row_label_width: int
    left: int
    top: int
    width: int
    column_widths: Sequence[int]
    image_heights: Sequence[int]
    caption_heights: Sequence[int]

    @property
    def line(self) -> int:
        """The height of a line of text."""
        return line_height_px(self.font)

    @property
    def height(self) -> int:
        """The height of the sheet."""
        return self.top + sum(self.image_heights) + sum(self.caption_heights) + self.gap * len(self.image_heights)


def draw_grid(
    rows: Sequence[Sequence[Tensor | Cell | None]],
    *,
    column_labels: Sequence[str] = (),
    row_labels: Sequence[str] = (),
    title: str = "",
    note: str = "",
) -> Sheet:
    """Draw rows of pictures as a sheet (1, 3, H, W). The `note` stands below the title."""
    cells = [[Cell(cell) if isinstance(cell, Tensor) else cell for cell in row] for row in rows]
    labels = _Labels(column_labels, row_labels, title, note)
    layout = _lay_out(cells, labels)
    page = Image.new("RGB", (layout.width, layout.height), PAPER)
    _draw_header(ImageDraw.Draw(page), layout, labels)
    _draw_cells(page, layout, labels.rows, cells)
    return from_pil(page).as_subclass(Sheet)


def stack_grids(sheets: Sequence[Tensor]) -> Sheet:
    """Stack sheets vertically, on paper as wide as the widest."""
    width, height = max(sheet.shape[3] for sheet in sheets), sum(sheet.shape[2] for sheet in sheets)
    page = Image.new("RGB", (width, height), PAPER)
    y = 0
    for sheet in sheets:
        page.paste(to_pil(sheet), (0, y))
        y += sheet.shape[2]
    return from_pil(page).as_subclass(Sheet)


def from_pil(page: Image.Image) -> Tensor:
    """Convert a Pillow image to a tensor (1, 3, H, W)."""
    return torch.from_numpy(np.array(page)).permute(2, 0, 1)[None].float() / 255


def _lay_out(cells: Sequence[Sequence[Cell | None]], labels: _Labels) -> _Layout:
    columns = [[row[at] for row in cells if at < len(row)] for at in range(max(map(len, cells)))]
    image_widths = [max((cell.image.shape[3] for cell in column if cell), default=0) for column in columns]
    font = load_font(_font_px(image_widths))
    title_font = load_font(round(font.size * TITLE_SCALE))
    line, gap, max_label = line_height_px(font), round(font.size * GAP), round(font.size * MAX_LABEL)
    column_widths = []
    for column, image_width, label in zip(columns, image_widths, _pad(labels.columns, len(columns)), strict=True):
        captions = (text_width_px(cell.caption, font) for cell in column if cell)
        column_widths.append(max(image_width, min(text_width_px(label, font), max_label), *captions))
    row_label_width = min(max((text_width_px(name, font) for name in labels.rows), default=0), max_label)
    left = gap + (row_label_width + gap if row_label_width else 0)
    header_width = max(text_width_px(labels.title, title_font), text_width_px(labels.note, font))
    header_height = (line_height_px(title_font) if labels.title else 0) + (line if labels.note else 0)
    return _Layout(
        font=font,
        title_font=title_font,
        gap=gap,
        row_label_width=row_label_width,
        left=left,
        top=gap + header_height + (gap if header_height else 0) + (line + gap // 2 if labels.columns else 0),
        width=max(left + sum(column_widths) + gap * len(columns), 2 * gap + header_width),
        column_widths=column_widths,
        image_heights=[max((cell.image.shape[2] for cell in row if cell), default=0) for row in cells],
        caption_heights=[line if any(cell and cell.caption for cell in row) else 0 for row in cells],
    )


def _draw_header(draw: ImageDraw.ImageDraw, layout: _Layout, labels: _Labels) -> None:
    """Draw title, note and the labels of columns."""
    title_height = line_height_px(layout.title_font) if labels.title else 0
    draw_text(draw, (layout.gap, layout.gap), labels.title, layout.title_font)
    draw_text(draw, (layout.gap, layout.gap + title_height), labels.note, layout.font, MUTED)
    x, y = layout.left, layout.top - layout.line - layout.gap // 2
    for label, width in zip(labels.columns, layout.column_widths, strict=False):
        _draw_centered(draw, (x, y), width, label, layout.font)
        x += width + layout.gap


def _draw_cells(
    page: Image.Image, layout: _Layout, row_labels: Sequence[str], cells: Sequence[Sequence[Cell | None]]
) -> None:
    draw, font, line = ImageDraw.Draw(page), layout.font, layout.line
    y = layout.top
    for row, label, image_height, caption_height in zip(
        cells, _pad(row_labels, len(cells)), layout.image_heights, layout.caption_heights, strict=True
    ):
        text = truncate_middle(label, font, layout.row_label_width)
        right = layout.left - layout.gap - text_width_px(text, font)
        draw_text(draw, (right, y + (image_height - line) // 2), text, font)
        x = layout.left
        for cell, column_width in zip(row, layout.column_widths, strict=False):
            if cell is not None:
                height, width = cell.image.shape[2:]
                page.paste(to_pil(cell.image), (x + (column_width - width) // 2, y + (image_height - height) // 2))
                _draw_centered(draw, (x, y + image_height + line // 8), column_width, cell.caption, font, MUTED)
            x += column_width + layout.gap
        y += image_height + caption_height + layout.gap


def _draw_centered(
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    width: int,
    text: str,
    font: Font,
    color: tuple[int, int, int] = INK,
) -> None:
    text = truncate_middle(text, font, width)
    draw_text(draw, (at[0] + (width - text_width_px(text, font)) // 2, at[1]), text, font, color)


def _pad(labels: Sequence[str], count: int) -> list[str]:
    return [*labels[:count], *[""] * (count - len(labels))]


def _font_px(image_widths: Sequence[int]) -> int:
    """Choose a font size that suits the median column."""
    return min(max(round(sorted(image_widths)[len(image_widths) // 2] / 15), MIN_FONT_PX), MAX_FONT_PX)
