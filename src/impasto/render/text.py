"""Text on pictures, in the font that ships, so that labels look the same on every machine."""

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
"""Colors of the sheets: opaque, so that they can be read on light and dark pages."""

Font = ImageFont.FreeTypeFont

UNKNOWN = "?"
"""Replaces characters that the font lacks, which Pillow would drop silently."""

_FONT_FILE = Path(__file__).parent / "fonts" / "Inter.otf"


@cache
def load_font(size_px: int) -> Font:
    """Load the font at a size: Inter, with the Latin, Greek and Cyrillic alphabets."""
    return ImageFont.truetype(str(_FONT_FILE), size_px, layout_engine=ImageFont.Layout.BASIC)


def to_words(option: str) -> str:
    """Write the name of an option as words: `style_weight` -> `style weight`."""
    return option.replace("_", " ")


def replace_missing_glyphs(text: str) -> str:
    """Compose characters (NFC), and replace those that the font lacks."""
    return "".join(character if _has_glyph(character) else UNKNOWN for character in unicodedata.normalize("NFC", text))


@cache
def _has_glyph(character: str) -> bool:
    return character == " " or load_font(20).getmask(character).getbbox() is not None


def text_width_px(text: str, font: Font) -> int:
    """Measure the width of one line."""
    return round(font.getlength(replace_missing_glyphs(text)))


def line_height_px(font: Font) -> int:
    """Return the height of one line, with the space to the next."""
    return round(font.size * 1.4)


def truncate_middle(text: str, font: Font, max_px: int) -> str:
    """Replace the middle of a text that is too wide: labels often differ at the end."""
    if text_width_px(text, font) <= max_px:
        return text
    for length in range(len(text) - 1, 0, -1):
        head, tail = (length + 1) // 2, length // 2
        shorter = f"{text[:head]}…{text[len(text) - tail :]}"
        if text_width_px(shorter, font) <= max_px:
            return shorter
    return ""


def draw_text(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, font: Font, color: tuple[int, int, int] = INK
) -> None:
    """Draw a line of text with its top left corner at (x, y)."""
    draw.text(at, replace_missing_glyphs(text), font=font, fill=color, anchor="la")
