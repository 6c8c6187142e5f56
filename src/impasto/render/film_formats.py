"""File formats of films: MP4 by PyAV, GIF and WebP by Pillow."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from impasto.errors import OutputError
from impasto.files import require_writable
from impasto.images.metadata import format_xmp

__all__ = ["FRAMES_PER_S", "HOLD_S", "LONG_SIDE_PX", "hold_last", "require_film", "write_animation", "write_video"]

FRAMES_PER_S = {".mp4": 25, ".gif": 12, ".webp": 20}
LONG_SIDE_PX = {".mp4": 1280, ".gif": 480, ".webp": 720}

HOLD_S = 1.5
"""How long the finished picture is shown at the end."""


def require_film(path: Path) -> None:
    """Raise `OutputError` if no film can be written to `path`. Call it before painting."""
    if path.suffix.lower() not in FRAMES_PER_S:
        raise OutputError(f"{path}: unknown film format. Use a name that ends in {', '.join(FRAMES_PER_S)}.")
    if path.suffix.lower() == ".mp4" and find_spec("av") is None:
        raise OutputError("MP4 needs PyAV. Run pip install 'impasto[video]', or use .webp or .gif instead.")
    require_writable(path)


def write_video(path: Path, frames: Iterator[Image.Image], rate: int) -> None:
    """Write frames of one size as H.264."""
    import av

    first = next(frames)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height = first.size
        stream.pix_fmt = "yuv420p"  # every player supports it
        stream.options = {"crf": "18", "preset": "medium"}
        stream.codec_context.time_base = Fraction(1, rate)
        for frame in itertools.chain([first], frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
        container.mux(stream.encode())


def hold_last(count: int, rate: int) -> list[int]:
    """Return durations of `count` frames at a rate, in ms, pausing at the last one."""
    each_ms = round(1000 / rate)
    return [each_ms] * (count - 1) + [each_ms + round(1000 * HOLD_S)]


def write_animation(
    path: Path,
    suffix: str,
    frames: Iterable[Image.Image],
    durations_ms: list[int],
    *,
    note: str = "",
    lossless: bool = False,
) -> None:
    """Write frames as an endless animation. `note` (ASCII) is the comment of a GIF and XMP in a WebP."""
    rest = iter(frames)
    first = next(rest)
    extra: dict[str, Any] = {"optimize": False}
    if suffix == ".webp":
        extra = {"lossless": True, "method": 4} if lossless else {"quality": 85, "method": 4}
    if note:
        extra |= {"xmp": format_xmp(note).encode()} if suffix == ".webp" else {"comment": note.encode()}
    kind = suffix.removeprefix(".").upper()
    first.save(path, format=kind, save_all=True, append_images=rest, duration=durations_ms, loop=0, **extra)
