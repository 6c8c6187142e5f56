"""OpenCV, which comes with the extra `video`: it is loaded when motion is first measured."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from impasto.errors import VideoError

__all__ = ["cv2", "require_opencv"]


def require_opencv() -> Any:
    """Load OpenCV. Raises `VideoError` if it is not installed."""
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        raise VideoError("Painting clips needs OpenCV. Run pip install 'impasto[video]'.") from error


if TYPE_CHECKING:
    import cv2
else:

    class _OpenCV:
        """The module, loaded at the first use. Queue, batches and studio know clips, and work without it."""

        def __getattr__(self, name: str) -> Any:
            value = getattr(require_opencv(), name)
            setattr(self, name, value)
            return value

    cv2 = _OpenCV()
