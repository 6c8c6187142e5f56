"""Notes in clips: one JSON object in the comment of a video, GIF or WebP, or in a file beside numbered frames."""

from __future__ import annotations

import json
from pathlib import Path

from impasto.clips.container import open_container
from impasto.errors import VideoError, one_line
from impasto.images import read_note

__all__ = ["NOTE_FILE", "format_note", "read_clip_metadata"]

NOTE_FILE = "recipe.json"
"""Name of the file in a folder of frames."""


def format_note(metadata: dict[str, str]) -> str:
    """Return metadata as JSON in ASCII."""
    return json.dumps(metadata) if metadata else ""


def read_clip_metadata(path: str | Path) -> dict[str, str]:
    """Return the metadata that `ClipWriter` wrote, or an empty dict. Raises `VideoError` if it is not a clip."""
    path = Path(path)
    try:
        return _parse(_read_note(path))
    except OSError as error:
        raise VideoError(f"{path} cannot be read: {one_line(error)}. Check the path.") from error


def _read_note(path: Path) -> str:
    if path.is_dir():
        note = path / NOTE_FILE
        return note.read_text() if note.exists() else ""
    with path.open("rb") as file:
        head = file.read(12)
    if head[8:] == b"WEBP":
        return read_note(path) or ""
    if head[:4] == b"GIF8":
        from PIL import Image

        with Image.open(path) as image:
            comment = image.info.get("comment", b"")
        return comment.decode("ascii", "replace") if isinstance(comment, bytes) else str(comment)
    with open_container(path) as container:
        return next((text for name, text in container.metadata.items() if name.lower() == "comment"), "")


def _parse(note: str) -> dict[str, str]:
    """Return the metadata in a note. Other programs' comments are none of it."""
    try:
        content = json.loads(note)
    except ValueError:
        return {}
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        return {}
    return content
