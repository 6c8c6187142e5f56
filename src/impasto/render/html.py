"""Pictures in HTML that holds everything it shows: embedded images, figures, a before/after slider."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path

from PIL import Image
from torch import Tensor

from impasto.core.image import thumbnail
from impasto.render.grid import to_pil

__all__ = ["PANORAMA_SCRIPT", "draw_figure", "draw_slider", "embed"]

PANORAMA_SCRIPT = Path(__file__).with_name("panorama.js")
"""A JavaScript module that turns a panorama; the studio's page uses it too."""

SLIDER = (
    '<div class="large compare"><img src="{after}" alt="The picture">'
    '<img class="before" src="{before}" alt="The content">'
    '<input type="range" min="0" max="100" value="50" aria-label="Before and after"><span class="handle"></span></div>'
)


def embed(picture: Image.Image | Tensor, max_px: int) -> str:
    """Encode a picture as a data URL: a JPEG whose long side is at most `max_px`."""
    image = to_pil(thumbnail(picture, max_px)) if isinstance(picture, Tensor) else picture
    buffer = io.BytesIO()
    image.thumbnail((max_px, max_px))
    image.save(buffer, format="JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def draw_figure(url: str, *caption: str, aspect: float | None = None) -> str:
    """Draw a picture with a caption of some lines; without a URL, a placeholder.

    `aspect` is width over height: figures in a row get it as a style, so that all are equally high.
    """
    lines = [escape(line) for line in caption if line]
    picture = f'<img src="{url}" alt="{", ".join(lines)}">' if url else '<div class="missing">not found</div>'
    style = f' style="--aspect: {aspect:.4f}"' if aspect else ""
    spans = "".join(f"<span>{line}</span>" for line in lines)
    return f"<figure{style}>{picture}<figcaption>{spans}</figcaption></figure>"


def draw_slider(before: Tensor | None, after: Tensor, max_px: int) -> str:
    """Draw two images of one size with a slider between them; without `before`, only the second."""
    if before is None:
        return f'<img class="large" src="{embed(after, max_px)}" alt="The picture">'
    return SLIDER.format(before=embed(before, max_px), after=embed(after, max_px))
