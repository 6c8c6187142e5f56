"""Sound of clips: copied packet by packet where the output's format allows, otherwise encoded again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.video.container import open_container

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

__all__ = ["Sound", "SoundTrack", "list_sounds"]

COPIED = {
    ".mp4": {"aac", "mp3", "mp3float", "ac3", "eac3", "alac", "opus", "libopus", "flac"},
    ".mov": {"aac", "mp3", "mp3float", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le", "pcm_s16be", "pcm_s24be"},
    ".webm": {"opus", "libopus", "vorbis", "libvorbis"},
}
"""Codecs that each format takes as they are; .mkv takes any."""

ENCODERS = {".webm": ("libopus", 48_000, 160_000)}
DEFAULT_ENCODER = ("aac", None, 192_000)
"""Encoder, its sample rate (None: the source's), and bits a second."""

AAC_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000)


@dataclass(frozen=True)
class Sound:
    """An audio stream of a clip."""

    index: int
    codec: str
    sample_rate: int
    channels: int


def list_sounds(container: InputContainer) -> tuple[Sound, ...]:
    """Return the audio streams that can be decoded."""
    streams = [stream for stream in container.streams.audio if getattr(stream, "codec_context", None) is not None]
    return tuple(
        Sound(stream.index, stream.codec_context.name, stream.codec_context.sample_rate or 0, stream.channels)
        for stream in streams
    )


class SoundTrack:
    """The first sound of a clip from `start` to `end`, in seconds of the clip, written beside a new picture.

    `write_until` is called as the picture grows, so that sound and picture are interleaved in the file.
    """

    def __init__(
        self, output: OutputContainer, suffix: str, path: Path, sound: Sound, span: tuple[Fraction, Fraction]
    ) -> None:
        """Add a stream to `output`. `span` is in the time of the source file."""
        self._stack = contextlib.ExitStack()
        self._output = output
        container = self._stack.enter_context(open_container(path))
        source: Any = container.streams[sound.index]
        if suffix == ".mkv" or sound.codec in COPIED[suffix]:
            stream: Any = output.add_stream_from_template(source)
            self._packets = _copy(container, source, stream, span)
        else:
            name, rate, bits = ENCODERS.get(suffix, DEFAULT_ENCODER)
            rate = rate or min(AAC_RATES, key=lambda choice: abs(choice - sound.sample_rate))
            stream = output.add_stream(name, rate=rate, layout="mono" if sound.channels == 1 else "stereo")
            stream.bit_rate = bits
            self._packets = _encode(container, source, stream, span)
        self._next: Packet[AudioStream] | None = None

    def write_until(self, time: Fraction | None) -> None:
        """Write packets that start before `time` of the output, or all."""
        while True:
            packet = self._next or next(self._packets, None)
            self._next = packet
            if packet is None or (time is not None and (packet.pts or 0) * packet.time_base >= time):
                return
            self._output.mux(packet)
            self._next = None

    def close(self) -> None:
        """Close the source."""
        self._stack.close()


def _copy(
    container: InputContainer, source: AudioStream, stream: AudioStream, span: tuple[Fraction, Fraction]
) -> Iterator[Packet[AudioStream]]:
    """Yield the packets of a span, moved to start at 0. Packets are cut as a whole, at the nearest boundaries."""
    start, end = span
    time_base = source.time_base or Fraction(1, source.sample_rate)
    shift = round(start / time_base)
    # Packets before 0 prepare the decoder. Matroska knows their number only from Matroska, and would move the picture.
    keeps_priming = stream.container.format.name in ("mp4", "mov") or "matroska" in container.format.name
    for packet in _packets_from(container, source, start):
        if packet.pts is None or not packet.size:
            continue
        half = (packet.duration or 0) / 2
        if (packet.pts + half) * time_base >= end:
            return
        if packet.pts < shift and not (shift <= 0 and keeps_priming):
            continue
        packet.pts -= shift
        packet.dts = packet.pts
        packet.stream = stream
        yield packet


def _encode(
    container: InputContainer, source: AudioStream, stream: AudioStream, span: tuple[Fraction, Fraction]
) -> Iterator[Packet[AudioStream]]:
    """Decode a span, cut it to the sample, and encode it."""
    import av
    import numpy as np

    rate, layout = stream.sample_rate, stream.codec_context.layout
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    first, last = round(span[0] * rate), round(span[1] * rate)
    position: int | None = None
    written = 0

    def cut(frame: Any) -> Iterator[Packet[AudioStream]]:
        nonlocal position, written
        values = frame.to_ndarray()
        if position is None:
            position = round((frame.pts or 0) * frame.time_base * rate)
        begin, finish = max(0, first - position), max(0, last - position)
        gap = max(0, position - first) if written == 0 else 0
        position += values.shape[1]
        part = values[:, begin:finish]
        if gap:  # the sound starts later than the picture
            part = np.concatenate([np.zeros((values.shape[0], min(gap, last - first)), values.dtype), part], axis=1)
        if part.shape[1]:
            piece = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="fltp", layout=layout)
            piece.sample_rate, piece.pts, piece.time_base = rate, written, Fraction(1, rate)
            written += part.shape[1]
            yield from stream.encode(piece)

    for packet in _packets_from(container, source, span[0]):
        for decoded in _decode(packet):
            for frame in resampler.resample(decoded):
                yield from cut(frame)
        if position is not None and position >= last:
            break
    else:
        for frame in resampler.resample(None):
            yield from cut(frame)
    yield from stream.encode(None)


def _decode(packet: Packet[AudioStream]) -> list[Any]:
    import av

    try:
        return list(packet.decode())
    except av.InvalidDataError:  # a gap in the sound is better than no clip
        return []


def _packets_from(container: InputContainer, source: AudioStream, start: Fraction) -> Iterator[Packet[AudioStream]]:
    """Yield packets from about one second before `start`."""
    time_base = source.time_base or Fraction(1, source.sample_rate)
    if start > 2:
        container.seek(round((start - 1) / time_base), stream=source)
    yield from container.demux(source)
