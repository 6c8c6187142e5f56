"""The header of a clip, read before anything is decoded."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from impasto.clips.container import open_container, pick_stream
from impasto.clips.picture_frames import may_be_animated, open_animation

__all__ = ["ClipHeader", "read_header"]


class ClipHeader(NamedTuple):
    """The size (height, width), format, codec, pixel format and number of frames; 0 frames if the header has none."""

    size: tuple[int, int]
    file_format: str
    codec: str
    pixel_format: str
    frame_count: int


def read_header(path: Path) -> ClipHeader:
    """Read the header of a video or an animation. Raises `VideoError`."""
    if may_be_animated(path):
        with open_animation(path) as image:
            return ClipHeader((image.height, image.width), str(image.format), "", "", 0)
    with open_container(path) as container:
        stream = pick_stream(container, path)
        context = stream.codec_context
        return ClipHeader(
            (context.height, context.width),
            container.format.name,
            context.name,
            str(context.pix_fmt),
            stream.frames,
        )
