"""The resolution that the photo and the paintings have in a print, said before it is painted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from impasto.config import ResolvedConfig
from impasto.config.print_size import MM_PER_INCH, NO_PRINT
from impasto.core.framing import Frame
from impasto.images import OpenedImage

__all__ = ["PrintNote", "describe_print"]

SOFT_DPI = 150
"""Resolution below which pixels are seen in the hand: the eye tells one arc minute apart, 1/150 inch at 58 cm."""

MAX_ENLARGEMENT = 2
"""Of a photo that is enlarged more, the details of the print's size are missing. Strokes do not depend on it."""


@dataclass(frozen=True)
class PrintNote:
    """A line on the pixels of a print; `is_low` if photo or paintings have too few for it."""

    text: str
    is_low: bool


def describe_print(
    content: OpenedImage, styles: Sequence[OpenedImage], scales: Sequence[float], frame: Frame, config: ResolvedConfig
) -> PrintNote | None:
    """Return the resolution of photo and paintings in a print, or None without a print.

    `scales` are the long sides of the styles, relative to the picture's.
    """
    if config.print == NO_PRINT:
        return None
    long_px = max(frame.size)
    side = frame.size.index(long_px)
    length = f"{long_px / config.dpi * MM_PER_INCH / 10:.3g} cm"
    photo_dpi = frame.crop[side] / long_px * config.dpi
    styles_dpi = {}
    for style, scale in zip(styles, scales, strict=True):
        px = max(style.size)
        name = "painting" if len(styles) == 1 else style.name or "a painting"
        styles_dpi[f"{name}: {px} px"] = px / (scale * long_px) * config.dpi
    least = min(SOFT_DPI, config.dpi / MAX_ENLARGEMENT)
    effects = ["the photo's small details are lost"] if photo_dpi < least else []
    if min(styles_dpi.values()) < least:
        effects.append("strokes are finer than in a proof")
    dpi = {f"photo: {frame.crop[side]} px for {length}": photo_dpi, **styles_dpi}
    parts = [f"{text}: {value:.0f} dpi" for text, value in dpi.items()]
    height, width = frame.canvas
    text = f"print of {width}x{height} px at {config.dpi:g} dpi; {', '.join(parts)}"
    if effects:
        text += f". Under {least:.0f} dpi {' and '.join(effects)}: print smaller, or give larger pictures."
    return PrintNote(text, bool(effects))
