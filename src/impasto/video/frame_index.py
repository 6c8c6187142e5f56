"""The times of all frames of a video file, from its packets: headers may lie about the number of frames."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.errors import VideoError
from impasto.video.container import open_container, pick_stream

if TYPE_CHECKING:
    from av.packet import Packet
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


def scan_frames(path: Path) -> FrameIndex:
    """Read the times of all frames. Decodes them only if the packets do not tell. Raises `VideoError`."""
    with open_container(path) as container:
        stream = pick_stream(container, path)
        time_base = stream.time_base or Fraction(1, 90_000)
        step = max(1, round(1 / (_rate(stream) * time_base)))
        packets = [packet for packet in container.demux(stream) if packet.size]
        is_whole = len(packets) >= stream.frames
        end = (stream.start_time or 0) + stream.duration if stream.duration and is_whole else None
        index = _from_packets(packets, stream.codec_context.name, time_base, step)
    if index and end is not None and index.times[-1] < end:  # packets do not tell the duration of the last frame
        index = replace(index, last_duration=end - index.times[-1])
    return index or _from_frames(path, time_base, step)


def _rate(stream: VideoStream) -> Fraction:
    return stream.average_rate or stream.guessed_rate or Fraction(25)


def _from_packets(
    packets: list[Packet[VideoStream]], decoder: str, time_base: Fraction, step: int
) -> FrameIndex | None:
    """Return the index of packets, or None if it would be unsure."""
    if packets and packets[-1].is_corrupt:  # the file was cut within it
        packets = packets[:-1]
    shown = [packet for packet in packets if not packet.is_discard]
    times = sorted(packet.pts for packet in shown if packet.pts is not None)
    keyframes = sorted(packet.pts for packet in packets if packet.is_keyframe and packet.pts is not None)
    if (
        decoder not in ONE_FRAME_A_PACKET
        or not times
        or len(set(times)) < len(shown)
        or any(packet.is_corrupt for packet in packets)
        or not packets[0].is_keyframe
        or times[0] < keyframes[0]
    ):
        return None
    last = next(packet for packet in reversed(shown) if packet.pts == times[-1])
    return FrameIndex(times, keyframes, last.duration or step, time_base, True)


def _from_frames(path: Path, time_base: Fraction, step: int) -> FrameIndex:
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
                earliest = times[-1] + 1 if times else None
                time = frame.pts if frame.pts is not None else (times[-1] + step if times else 0)
                times.append(time if earliest is None else max(time, earliest))
    if not times:
        raise VideoError(f"{path} holds no frame that can be decoded. Is it a complete video file?")
    return FrameIndex(times, [], step, time_base, False)
