"""The function that `import impasto` offers for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from impasto.errors import ImpastoError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from impasto.config.option_types import StylizeOptions
    from impasto.config.types import ImageLike
    from impasto.notebook.painting_widget import PaintingWidget

__all__ = ["widget"]


def widget(
    content: ImageLike,
    style: ImageLike | Sequence[ImageLike],
    *,
    preset: str | Path = "painterly",
    **options: Unpack[StylizeOptions],
) -> PaintingWidget:
    """Return a widget that paints `content` in the manner of `style` in a notebook, and shows each step.

    Pictures and options are those of `stylize`. α, size, preset, effort and steps can be changed in the widget; it
    applies a new α to the picture that is being painted. Raises subclasses of `ImpastoError`.
    """
    try:
        import anywidget  # noqa: F401
    except ImportError as error:
        raise ImpastoError("The widget needs anywidget. Run pip install 'impasto[notebook]'.") from error
    from impasto.notebook.painting_widget import PaintingWidget

    return PaintingWidget(content, style, str(preset), **options)
