"""Images as a notebook shows them: reduced PNG files, with a line of text."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape

import PIL.Image
import torch
from torch import Tensor

from impasto.core.image import thumbnail

__all__ = ["MAX_PX", "Sheet", "describe_losses", "encode_png", "figure_html", "to_pil"]

MAX_PX = 1024
"""Maximum long side of a displayed image: a notebook stores what it shows."""


class Sheet(Tensor):
    """A drawn image (1, 3, H, W) that a notebook displays. Results of operations on it are plain tensors."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def __deepcopy__(self, memo: object) -> Sheet:
        """Copy the pixels: the default refuses subclasses whose operations return tensors."""
        return self.as_subclass(Tensor).clone().as_subclass(Sheet)

    def _repr_png_(self) -> bytes:
        return encode_png(self)


def to_pil(image: Tensor, alpha: Tensor | None = None) -> PIL.Image.Image:
    """Convert an image (1, 3, H, W), and its alpha (1, 1, H, W) if it has one, to a Pillow image."""
    planes = image[0] if alpha is None else torch.cat([image[0], alpha[0]])
    return PIL.Image.fromarray((planes.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy())


def encode_png(image: Tensor, alpha: Tensor | None = None) -> bytes:
    """Encode an image as a PNG of at most `MAX_PX` on its long side."""
    buffer = io.BytesIO()
    to_pil(thumbnail(image, MAX_PX), None if alpha is None else thumbnail(alpha, MAX_PX)).save(buffer, format="PNG")
    return buffer.getvalue()


def figure_html(image: Tensor, caption: str) -> str:
    """Return HTML that holds an image, with a caption."""
    data = base64.b64encode(encode_png(image)).decode("ascii")
    return (
        f'<figure style="margin: 0"><img src="data:image/png;base64,{data}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def describe_losses(losses: Mapping[str, float]) -> str:
    """Return total, content and style on one line."""
    return " ".join(f"{name} {losses[name]:.3g}" for name in ("total", "content", "style"))
