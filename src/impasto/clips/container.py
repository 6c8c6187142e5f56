"""Opening a video file with PyAV, and its errors on one line each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.errors import VideoError, one_line

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = ["INSTALL", "find_missing_libraries", "open_container", "pick_stream", "require_pyav"]

INSTALL = "Run pip install 'impasto[video]'."

FORMATS = (
    "3gp", "asf", "av1", "avi", "dirac", "dv", "flv", "gxf", "h264", "hevc", "ivf", "m4v", "matroska", "mjpeg", "mov",
    "mpeg", "mpegts", "mpegvideo", "mxf", "nut", "obu", "ogg", "rm", "vc1", "webm", "wtv", "yuv4mpegpipe",
)  # fmt: skip
"""FFmpeg's names of formats to read. Others, such as playlists, can name further files, which would be opened too."""


def find_missing_libraries() -> list[str]:
    """Return which libraries of the extra `video` are not installed."""
    return [name for module, name in (("av", "PyAV"), ("cv2", "OpenCV")) if find_spec(module) is None]


def require_pyav(path: Path) -> None:
    """Raise `VideoError` if PyAV is not installed."""
    if find_spec("av") is None:
        raise VideoError(f"{path} is a video, and reading videos needs PyAV. {INSTALL}")


@contextlib.contextmanager
def open_container(path: Path) -> Iterator[InputContainer]:
    """Open a file for reading. Raises `VideoError`, also for errors of FFmpeg inside the `with` block."""
    require_pyav(path)
    import av

    try:
        # An absolute path is never a URL.
        options = {"protocol_whitelist": "file", "format_whitelist": ",".join(FORMATS)}
        with av.open(str(path.resolve()), "r", options=options, metadata_errors="replace") as container:
            yield container
    except av.FFmpegError as error:
        reason = error.strerror or one_line(error)
        raise VideoError(f"{path} cannot be read as a video: {reason}. Is it a complete video file?") from error


def pick_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the main video stream. Raises `VideoError` if there is none, or its codec is unknown."""
    from av.stream import Disposition

    streams = [one for one in container.streams.video if not one.disposition & Disposition.attached_pic]
    if not streams:
        held = "only sound" if container.streams.audio else "no pictures"
        raise VideoError(f"{path} holds {held}, and a clip needs a video stream. Give a complete video.")
    best = container.streams.best("video")
    stream = next((one for one in streams if one is best), streams[0])
    if getattr(stream, "codec_context", None) is None:
        raise VideoError(f"{path} is coded in a way that PyAV cannot decode. Convert it to H.264 first.")
    stream.thread_type = "SLICE"  # with threads by frame, whole frames before a damaged one are lost
    return stream
