"""Frames of a film, drawn with a chart of the losses below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from impasto.render.text import INK, MUTED, PAPER, draw_text, load_font, text_width_px, truncate_middle

__all__ = ["LOSS_COLORS", "FilmChart", "Frame"]

LOSS_COLORS = {"total": INK, "content": (33, 119, 180), "style": (200, 90, 40)}


@dataclass(frozen=True)
class Frame:
    """One step: its 8-bit pixels (H, W, 3), losses, label, and the visual change since the first frame."""

    pixels: NDArray[np.uint8]
    losses: dict[str, float]
    label: str
    change: float


class FilmChart:
    """The losses of all frames, on a logarithmic axis over the film's own time.

    Curves are drawn faint, and in full color up to the current frame.
    """

    def __init__(self, frames: Sequence[Frame], width: int) -> None:
        self.width, self.height = width - width % 2, max(72, round(width * 0.16))
        self.font = load_font(max(10, round(width / 48)))
        self.line_width = max(1, round(self.font.size / 8))
        self.margin = round(self.font.size * 0.6)
        values = [value for frame in frames for value in frame.losses.values() if value > 0] or [1.0]
        self.low, self.high = math.log10(min(values)), math.log10(max(values))
        first, last = frames[0].change, frames[-1].change
        whole = max(last - first, 1e-12)
        self.points = {
            name: [
                ((frame.change - first) / whole, frame.losses[name])
                for frame in frames
                if frame.losses and frame.losses[name] > 0
            ]
            for name in LOSS_COLORS
        }

    def draw(self, frame: Frame, position: float) -> Image.Image:
        """Draw a frame with the chart below it. Both sides are even, as video needs."""
        picture_height = frame.pixels.shape[0]
        page = Image.new("RGB", (self.width, (picture_height + self.height + 1) // 2 * 2), PAPER)
        page.paste(Image.fromarray(frame.pixels), (0, 0))
        draw = ImageDraw.Draw(page)
        y = picture_height + self.margin // 2
        self._draw_labels(draw, frame, y)
        for name in LOSS_COLORS:
            self._draw_curve(draw, frame, name, position, (y + round(self.font.size * 1.5), page.height - self.margin))
        return page

    def _draw_labels(self, draw: ImageDraw.ImageDraw, frame: Frame, y: int) -> None:
        x = self.margin
        for name, color in LOSS_COLORS.items():
            text = f"{name} {frame.losses[name]:.3g}" if frame.losses else name
            draw_text(draw, (x, y), text, self.font, color)
            x += text_width_px(f"{name} 0.0000", self.font) + self.margin
        label = truncate_middle(frame.label, self.font, self.width - x - self.margin)
        draw_text(draw, (self.width - self.margin - text_width_px(label, self.font), y), label, self.font, MUTED)

    def _draw_curve(
        self, draw: ImageDraw.ImageDraw, frame: Frame, name: str, position: float, rows: tuple[int, int]
    ) -> None:
        """Draw one curve between two rows of pixels."""
        color = LOSS_COLORS[name]
        faint = tuple((part + 3 * paper) // 4 for part, paper in zip(color, PAPER, strict=True))
        points = self.points[name]
        past = [point for point in points if point[0] <= position]
        if frame.losses and frame.losses[name] > 0:
            past.append((position, frame.losses[name]))
        for part, fill in ((points, faint), (past, color)):
            if len(part) > 1:
                draw.line([self._pixel(*point, rows) for point in part], fill=fill, width=self.line_width)
        if past:
            x, y = self._pixel(*past[-1], rows)
            radius = 2 * self.line_width
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=color)

    def _pixel(self, position: float, value: float, rows: tuple[int, int]) -> tuple[float, float]:
        top, bottom = rows
        share = (math.log10(value) - self.low) / max(self.high - self.low, 1e-9)
        return self.margin + position * (self.width - 2 * self.margin), bottom - share * (bottom - top)
