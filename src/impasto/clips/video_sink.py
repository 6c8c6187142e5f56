"""Videos: H.264, HEVC, AV1, VP9 or FFV1, with sound, written by PyAV."""

from __future__ import annotations

import contextlib
import math
import os
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from impasto.clips.clip import Clip
from impasto.clips.color import SRGB_TAGS, ColorTags, rgb_to_ycbcr, subsample
from impasto.clips.container import INSTALL
from impasto.clips.scheduling import keep_scheduling
from impasto.clips.sound import SoundTrack
from impasto.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["VIDEO_SUFFIXES", "VideoSink", "pick_encoder", "require_encodable"]

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm")

FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
CODECS = {
    "h264": ("libx264", (".mp4", ".mov", ".mkv")),
    "hevc": ("libx265", (".mp4", ".mov", ".mkv")),
    "av1": ("libsvtav1", (".mp4", ".mkv", ".webm")),
}
"""The encoder of each codec, and the formats that take it."""
LOSSLESS = {
    ".mp4": ("libx264rgb", "rgb24", {"qp": "0", "preset": "medium"}),
    ".mov": ("libx264rgb", "rgb24", {"qp": "0", "preset": "medium"}),
    ".mkv": ("ffv1", "bgr0", {"level": "3", "slicecrc": "1"}),
    ".webm": ("libvpx-vp9", "gbrp", {"lossless": "1"}),
}
"""Encoder, pixel format and options that keep every bit of 8-bit RGB."""

MIN_HEVC_PX = 64

MAX_CLOCK = 10_000_000
"""Most ticks a second of a clock: the least common multiple of two rates may be larger."""


def pick_encoder(path: Path, codec: str) -> str:
    """Return the encoder for a file: VP9 in place of H.264 for .webm. Raises `OutputError` if there is none."""
    suffix = path.suffix.lower()
    if find_spec("av") is None:
        raise OutputError(f"{path}: writing {suffix} needs PyAV. {INSTALL} Or use .webp, .gif or a folder.")
    import av

    name, suffixes = CODECS[codec]
    if suffix == ".webm" and codec == "h264":
        name = "libvpx-vp9"
    elif suffix not in suffixes:
        raise OutputError(f"{path} cannot hold {codec}. Use {', '.join(suffixes)}, or leave `codec` out.")
    if name not in av.codecs_available:
        raise OutputError(f"{path}: PyAV was built without {name}, which writes {codec}. Leave `codec` out.")
    return name


def require_encodable(path: Path, codec: str, size: tuple[int, int]) -> None:
    """Raise `ConfigError` for frames (height, width) that an encoder cannot take."""
    if codec == "hevc" and size[1] < MIN_HEVC_PX:  # x265 4.2 writes beyond its buffers below 50
        raise ConfigError(
            f"{path}: hevc needs frames that are {MIN_HEVC_PX} px wide, and these are {size[1]}. Leave `codec` out."
        )


class VideoSink:
    """A video that is being written."""

    def __init__(
        self,
        path: Path,
        suffix: str,
        size: tuple[int, int],
        rate: Fraction,
        time_base: Fraction | None,
        colors: ColorTags,
        note: str,
    ) -> None:
        import av

        self._suffix, self._size, self._rate, self._colors = suffix, size, rate, colors
        ticks = rate.numerator if time_base is None else math.lcm(rate.numerator, time_base.denominator)
        self._clock = Fraction(1, ticks if ticks <= MAX_CLOCK else 90_000)
        options = {"movflags": "faststart"} if suffix in (".mp4", ".mov") else {}
        self._container = av.open(str(path), "w", format=FORMATS[suffix], options=options)
        if note:
            self._container.metadata["comment"] = note
        self._stream: Any = None
        self._sound: SoundTrack | None = None
        self._durations: dict[int, int] = {}
        self._held: Packet[VideoStream] | None = None
        self._first_dts: int | None = None
        self._end = 0

    def set_quality(self, encoder: str, crf: int) -> None:
        """Choose the encoder, and a rate factor on the scale of x264."""
        # The macroblock tree of x264 reads memory that it has not set, where a width is no multiple of 64: the
        # same frames would not always become the same file.
        options = {"crf": str(crf), "preset": "medium", "x264-params": "mbtree=0"}
        if encoder == "libx265":
            options = {"crf": str(crf), "preset": "medium", "x265-params": "log-level=error"}
        elif encoder == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # errors only; it has no option for that
            # With several threads, version 4.1 may never return from the end of a short clip.
            options = {"crf": str(crf), "preset": "6", "svtav1-params": "lp=1"}
        elif encoder == "libvpx-vp9":  # its scale reaches to 63; 4 more look alike
            options = {"crf": str(min(63, crf + 4)), "b": "0", "row-mt": "1", "cpu-used": "2"}
        self._add_stream(encoder, "yuv420p", options)
        if encoder == "libsvtav1":
            with keep_scheduling():
                self._stream.codec_context.open()
        if encoder == "libx265" and self._suffix in (".mp4", ".mov"):
            self._stream.codec_context.codec_tag = "hvc1"  # Apple's players show no other

    def set_lossless(self) -> None:
        """Choose an encoder that keeps every bit."""
        self._add_stream(*LOSSLESS[self._suffix])

    def _add_stream(self, encoder: str, pixel_format: str, options: dict[str, str]) -> None:
        stream: Any = self._container.add_stream(encoder, rate=self._rate, options=options)
        height, width = self._size
        if pixel_format == "yuv420p" and encoder != "libvpx-vp9":
            height, width = height + height % 2, width + width % 2
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        self._stream, context = stream, stream.codec_context
        context.time_base = self._clock
        tags = self._colors if pixel_format == "yuv420p" else SRGB_TAGS
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        context.colorspace = tags.matrix if pixel_format == "yuv420p" else 0
        context.color_range = 2 if tags.is_full_range or pixel_format != "yuv420p" else 1

    def add_sound(self, clip: Clip, start: Fraction, end: Fraction) -> None:
        """Add the first sound of a clip."""
        span = clip.first_time + start, clip.first_time + end
        self._sound = SoundTrack(self._container, self._suffix, clip.path, clip.sounds[0], span)

    def write(self, pixels: Tensor, time: Fraction, duration: Fraction) -> None:
        """Encode a frame, and the sound until it."""
        frame = self._make_frame(pixels)
        frame.pts, frame.time_base = round(time / self._clock), self._clock
        self._end = max(frame.pts + 1, round((time + duration) / self._clock))
        self._durations[frame.pts] = self._end - frame.pts
        self._mux(self._stream.encode(frame))
        if self._sound is not None:
            self._sound.write_until(time)

    def finish(self) -> None:
        """Complete the file."""
        self._mux(self._stream.encode(None))
        self._mux_last()
        if self._sound is not None:
            self._sound.write_until(None)
        self._container.close()
        self._close_sound()

    def abandon(self) -> None:
        """Close the file, which is removed."""
        with contextlib.suppress(Exception):  # whatever went wrong before is what matters
            self._container.close()
        self._close_sound()

    def _close_sound(self) -> None:
        if self._sound is not None:
            self._sound.close()

    def _mux(self, packets: list[Any]) -> None:
        """Write packets, holding back the last one: MP4 tells when the picture ends by its duration."""
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts, packet.duration)
            if self._first_dts is None:
                self._first_dts = packet.dts
            if self._held is not None:
                self._container.mux(self._held)
            self._held = packet

    def _mux_last(self) -> None:
        if self._held is not None:
            if self._suffix in (".mp4", ".mov"):
                self._held.duration = max(1, self._end - (self._held.dts or 0) + (self._first_dts or 0))
            self._container.mux(self._held)

    def _make_frame(self, pixels: Tensor) -> VideoFrame:
        import av

        context = self._stream.codec_context
        height, width = context.height, context.width
        if (height, width) != self._size:
            rows, columns = (
                torch.arange(side).clamp(max=own - 1) for side, own in zip((height, width), self._size, strict=True)
            )
            pixels = pixels[:, :, rows][:, :, :, columns]
        if context.pix_fmt == "yuv420p":
            y, cb, cr = rgb_to_ycbcr(pixels, self._colors)
            planes = [_round(plane) for plane in (y, subsample(cb), subsample(cr))]
            frame = av.VideoFrame(width, height, "yuv420p")
            for plane, values in zip(frame.planes, planes, strict=True):
                _fill(plane, values)
        else:
            levels = _round(pixels[0].permute(1, 2, 0) * 255)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(levels), format="rgb24")
            if context.pix_fmt == "bgr0":
                frame = frame.reformat(format="bgr0")
            elif context.pix_fmt == "gbrp":
                red, green, blue = levels.transpose(2, 0, 1)
                frame = av.VideoFrame(width, height, "gbrp")
                for plane, values in zip(frame.planes, (green, blue, red), strict=True):
                    _fill(plane, values)
        frame.colorspace, frame.color_range = context.colorspace, context.color_range
        frame.color_primaries, frame.color_trc = context.color_primaries, context.color_trc
        return frame


def _round(values: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return values.round().clamp(0, 255).to(torch.uint8).numpy()


def _fill(plane: Any, values: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    rows = np.zeros((plane.buffer_size // plane.line_size, plane.line_size), np.uint8)
    rows[: values.shape[0], : values.shape[1]] = values
    plane.update(rows.tobytes())
