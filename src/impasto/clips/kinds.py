"""Clips by name, without a library for clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

__all__ = ["CLIP_ROLES", "CLIP_SUFFIX", "is_animation", "is_clip", "is_clip_file", "is_pattern"]

CLIP_SUFFIX = ".mp4"
"""Kind of file of a painted clip that is not named."""

CLIP_ROLES = ("content", "content_mask", "protect")
"""Kinds of inputs that may be clips."""

SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ogv", ".mxf"}


def is_clip(source: Any) -> bool:
    """Return True for a folder, a pattern of numbered pictures, an animation, or a file that is named like a video."""
    if not isinstance(source, (str, Path)):
        return False
    path = Path(source)
    return path.is_dir() or is_pattern(path) or is_clip_file(path)


def is_pattern(path: Path) -> bool:
    """Return True for a pattern of numbered pictures, such as %04d.png, unless there is a file of that name."""
    return ("%" in path.name or "*" in path.name) and not path.exists()


def is_clip_file(path: Path) -> bool:
    """Return True for a file that is named like a video, and for an animation."""
    suffix = path.suffix.lower()
    if suffix in (".gif", ".webp"):
        return is_animation(path, unreadable=suffix == ".gif")  # most WebP files are single pictures
    return suffix in SUFFIXES


def is_animation(path: Path, *, unreadable: bool = False) -> bool:
    """Return True for a GIF or WebP with several pictures, by its content; `unreadable` for what cannot be read."""
    try:
        with Image.open(path) as picture:
            return bool(getattr(picture, "is_animated", unreadable))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return unreadable
