"""Copies of clips that every browser plays, for those that it may not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from torch import Tensor

from impasto import images
from impasto.clips import Clip, ClipWriter
from impasto.clips.probe import read_header
from impasto.errors import FrameError

__all__ = ["browser_type", "write_copy"]

COPY_PX = 960
"""Long side of a copy."""

COPY_CRF = 22

PLAYED = {"video/mp4": {"h264"}, "video/webm": {"vp8", "libvpx", "vp9", "libvpx-vp9", "av1", "libdav1d"}}
"""Formats and codecs that browsers play: with 8 bits and 4:2:0."""

DOC_TYPE = b"\x42\x82\x84webm"
"""The name of the format in the header of a WebM, which is not in that of a Matroska file."""


def browser_type(clip: Clip) -> str | None:
    """Return the media type of a clip that every browser plays as it is, None for any other."""
    if clip.path.is_dir():
        return None
    with clip.path.open("rb") as file:
        head = file.read(64)
    kind = "video/mp4" if head[4:8] == b"ftyp" and head[8:12] != b"qt  " else None
    if DOC_TYPE in head:
        kind = "video/webm"
    if kind is None or clip.first_time != 0:
        return None
    header = read_header(clip.path)
    is_played = header.codec in PLAYED[kind] and header.pixel_format in ("yuv420p", "yuvj420p")
    is_heard = all(sound.codec in ("aac", "mp3", "mp3float", "opus", "libopus", "vorbis") for sound in clip.sounds)
    return kind if is_played and is_heard else None


def write_copy(clip: Clip, path: Path, on_frame: Callable[[], None]) -> None:
    """Write a small copy as H.264, with the frame times and the sound of the clip, up to a damaged frame.

    `on_frame` is called before each frame. Raises `FrameError` if the first frame is damaged, `OutputError`.
    """
    height, width = next(_read_small(clip, 0, 1)).shape[2:]
    with ClipWriter(
        path, (height, width), clip.rate, time_base=clip.time_base, sound_from=clip, crf=COPY_CRF
    ) as writer:
        try:
            for pixels, time in zip(_read_small(clip, 0, clip.frame_count), clip.times, strict=True):
                on_frame()
                writer.write(pixels, time)
        except FrameError:
            if not writer.frame_count:
                raise


def _read_small(clip: Clip, first: int, last: int) -> Iterator[Tensor]:
    for frame in clip.frames(first, last, long_side_px=COPY_PX):
        yield images.load(frame, long_side_px=COPY_PX).pixels
