"""Words on pictures: the font that ships, so that a label looks the same on every machine."""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

from PIL import ImageDraw, ImageFont

__all__ = [
    "INK",
    "MUTED",
    "PAPER",
    "Font",
    "draw_text",
    "line_height_px",
    "load_font",
    "replace_missing_glyphs",
    "text_width_px",
    "to_words",
    "truncate_middle",
]

PAPER, INK, MUTED = (250, 249, 246), (38, 35, 32), (128, 122, 114)
"""Colors of the sheets: opaque, so that they read on a light page and on a dark one."""

Font = ImageFont.FreeTypeFont

UNKNOWN = "?"
"""Stands for what the font lacks, which it would leave out without a word."""

_FILE = Path(__file__).parent / "fonts" / "Inter.otf"


@cache
def load_font(size_px: int) -> Font:
    """The font at a size: Inter, of the Latin, Greek and Cyrillic alphabets."""
    return ImageFont.truetype(str(_FILE), size_px, layout_engine=ImageFont.Layout.BASIC)


def to_words(option: str) -> str:
    """An option's name as it is read: `style_weight` -> `style weight`."""
    return option.replace("_", " ")


def replace_missing_glyphs(text: str) -> str:
    """The text as the font can write it: composed, and with a sign in place of each one that it lacks."""
    return "".join(sign if _is_there(sign) else UNKNOWN for sign in unicodedata.normalize("NFC", text))


@cache
def _is_there(sign: str) -> bool:
    return sign == " " or load_font(20).getmask(sign).getbbox() is not None


def text_width_px(text: str, letters: Font) -> int:
    """How wide a line is."""
    return round(letters.getlength(replace_missing_glyphs(text)))


def line_height_px(letters: Font) -> int:
    """How high a line is, with the space to the next."""
    return round(letters.size * 1.4)


def truncate_middle(text: str, letters: Font, room_px: int) -> str:
    """The text, or its beginning and end where it does not fit: what tells labels apart is often the end."""
    if text_width_px(text, letters) <= room_px:
        return text
    for kept in range(len(text) - 1, 0, -1):
        head, tail = (kept + 1) // 2, kept // 2
        shorter = f"{text[:head]}…{text[len(text) - tail :]}"
        if text_width_px(shorter, letters) <= room_px:
            return shorter
    return ""


def draw_text(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, letters: Font, color: tuple[int, int, int] = INK
) -> None:
    """Write a line with its top left corner at (x, y)."""
    draw.text(at, replace_missing_glyphs(text), font=letters, fill=color, anchor="la")
