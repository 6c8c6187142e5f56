"""File formats of films: MP4 by PyAV, GIF and WebP by Pillow."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from impasto.errors import OutputError
from impasto.files import require_writable

__all__ = ["FRAMES_PER_S", "HOLD_S", "LONG_SIDE_PX", "require_film", "write_animation", "write_video"]

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


def write_animation(path: Path, suffix: str, frames: list[Image.Image], rate: int) -> None:
    """Write frames as an endless animation, pausing at the last one."""
    each_ms = round(1000 / rate)
    durations = [each_ms] * (len(frames) - 1) + [each_ms + round(1000 * HOLD_S)]
    kind = suffix.removeprefix(".").upper()
    extra = {"quality": 85, "method": 4} if kind == "WEBP" else {"optimize": False}
    frames[0].save(path, format=kind, save_all=True, append_images=frames[1:], duration=durations, loop=0, **extra)
