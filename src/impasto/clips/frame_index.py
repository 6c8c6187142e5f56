"""The times of all frames of a video file, from its packets: headers may lie about the number of frames."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from impasto.clips.container import open_container, pick_stream
from impasto.errors import VideoError

if TYPE_CHECKING:
    from av.video.stream import VideoStream

__all__ = ["FrameIndex", "scan_frames"]

ONE_FRAME_A_PACKET = {
    "h264", "hevc", "vp9", "libvpx-vp9", "av1", "libdav1d", "prores", "mjpeg", "mpeg4", "ffv1", "dnxhd", "huffyuv",
    "rawvideo", "png", "qtrle", "utvideo", "v210",
}  # fmt: skip
"""Decoders for which the packets tell the times of the frames. Others may have packets that are not shown."""


@dataclass(frozen=True)
class FrameIndex:
    """Presentation times of frames in units of `time_base`, in order.

    `has_packet_times` is False if frames had to be decoded to count them: then they are found by counting.
    """

    times: list[int]
    keyframes: list[int]
    last_duration: int
    time_base: Fraction
    has_packet_times: bool

    def keyframe_before(self, number: int) -> int | None:
        """Return the time of the last key frame that is not after a frame, or None to start at the beginning."""
        at = bisect.bisect_right(self.keyframes, self.times[number]) - 1
        return self.keyframes[at] if self.has_packet_times and at > 0 else None


class PacketInfo(NamedTuple):
    """The description of a packet, without its data."""

    time: int | None
    duration: int
    is_keyframe: bool
    is_discard: bool
    is_corrupt: bool


def scan_frames(path: Path) -> FrameIndex:
    """Read the times of all frames. Decodes them only if the packets do not tell. Raises `VideoError`."""
    with open_container(path) as container:
        stream = pick_stream(container, path)
        time_base = stream.time_base or Fraction(1, 90_000)
        step = max(1, round(1 / (_rate(stream) * time_base)))
        if container.format.name == "avi":  # it has no times, and FFmpeg's guess is wrong for B-frames
            return _from_frames(path, time_base, step, has_times=False)
        packets = [
            PacketInfo(packet.pts, packet.duration or 0, packet.is_keyframe, packet.is_discard, packet.is_corrupt)
            for packet in container.demux(stream)
            if packet.size
        ]
        index = _from_packets(packets, stream.codec_context.name, time_base, step)
        has_end = "mp4" in container.format.name and stream.duration and len(packets) >= stream.frames
        end = (stream.start_time or 0) + (stream.duration or 0) if has_end else None
    if index and end is not None and index.times[-1] < end:  # packets do not tell the duration of the last frame
        index = replace(index, last_duration=end - index.times[-1])
    return index or _from_frames(path, time_base, step, has_times=True)


def _rate(stream: VideoStream) -> Fraction:
    return stream.average_rate or stream.guessed_rate or Fraction(25)


def _from_packets(packets: list[PacketInfo], decoder: str, time_base: Fraction, step: int) -> FrameIndex | None:
    """Return the index of packets, or None if it would be unsure."""
    if packets and packets[-1].is_corrupt:  # the file was cut within it
        packets = packets[:-1]
    shown = [packet for packet in packets if not packet.is_discard]
    times = sorted(packet.time for packet in shown if packet.time is not None)
    keyframes = sorted(packet.time for packet in packets if packet.is_keyframe and packet.time is not None)
    if (
        decoder not in ONE_FRAME_A_PACKET
        or not times
        or len(set(times)) < len(shown)
        or any(packet.is_corrupt for packet in packets)
        or not packets[0].is_keyframe
        or times[0] < keyframes[0]
    ):
        return None
    last = next(packet for packet in reversed(shown) if packet.time == times[-1])
    return FrameIndex(times, keyframes, last.duration or step, time_base, True)


def _from_frames(path: Path, time_base: Fraction, step: int, *, has_times: bool) -> FrameIndex:
    import av

    times: list[int] = []
    with open_container(path) as container:
        stream = pick_stream(container, path)
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.InvalidDataError:  # a damaged frame: reading says which one
                continue
            for frame in frames:
                following = times[-1] + step if times else 0
                time = frame.pts if has_times and frame.pts is not None else following
                times.append(max(time, times[-1] + 1) if times else time)
    if not times:
        raise VideoError(f"{path} holds no frame that can be decoded. Is it a complete video file?")
    return FrameIndex(times, [], step, time_base, False)
