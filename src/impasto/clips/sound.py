"""Sound of clips: copied packet by packet where the output's format allows, otherwise encoded again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.clips.container import open_container

if TYPE_CHECKING:
    import numpy as np
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from numpy.typing import NDArray

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

MAX_DRIFT_S = 0.1
"""Gap in the times of a sound above which it is one, and not rounding."""

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
    """Yield the packets of a span, moved to start at 0.

    MP4 hides what is before 0, and its first packets are those that decoding at 0 needs. Matroska starts with the
    first whole packet.
    """
    start, end = span
    time_base = source.time_base or Fraction(1, source.sample_rate)
    shift = round(start / time_base)
    hides_start = stream.container.format.name in ("mp4", "mov")
    # Matroska knows the number of packets to hide only from Matroska, and otherwise would move the picture.
    is_whole = shift <= 0 and (hides_start or "matroska" in container.format.name)
    for packet in _packets_from(container, source, start):
        if packet.pts is None or not packet.size:
            continue
        half = (packet.duration or 0) / 2
        if (packet.pts + half) * time_base >= end:
            return
        lead = 2 * (packet.duration or 0) if hides_start else 0
        if packet.pts < shift - lead and not is_whole:
            continue
        packet.pts -= shift
        packet.dts = packet.pts
        packet.stream = stream
        yield packet


def _encode(
    container: InputContainer, source: AudioStream, stream: AudioStream, span: tuple[Fraction, Fraction]
) -> Iterator[Packet[AudioStream]]:
    """Decode a span, cut it to the sample, and encode it. Gaps are filled with silence."""
    import av
    import numpy as np

    rate, layout = stream.sample_rate, stream.codec_context.layout
    first, last = (round(time * rate) for time in span)
    filled = first
    for position, values in _decode_pieces(container, source, stream, span):
        part = values[:, max(0, filled - position) : max(0, last - position)]
        if not part.shape[1]:
            continue
        silence = np.zeros((part.shape[0], max(0, position - filled)), np.float32)
        part = np.ascontiguousarray(np.concatenate([silence, part], axis=1))
        piece = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
        piece.sample_rate, piece.pts, piece.time_base = rate, filled - first, Fraction(1, rate)
        filled += part.shape[1]
        yield from stream.encode(piece)
    yield from stream.encode(None)


def _decode_pieces(
    container: InputContainer, source: AudioStream, stream: AudioStream, span: tuple[Fraction, Fraction]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield decoded sound in the rate and layout of `stream`, each piece with the number of its first sample."""
    import av
    import numpy as np

    rate = stream.sample_rate
    resampler = av.AudioResampler(format="fltp", layout=stream.codec_context.layout, rate=rate)
    position: int | None = None
    for packet in _packets_from(container, source, span[0]):
        for decoded in [*_decode(packet), *([None] if not packet.size else [])]:  # the last packet is empty
            if decoded is not None and decoded.pts is not None:
                expected = round(decoded.pts * decoded.time_base * rate)
                if position is None or expected - position > MAX_DRIFT_S * rate:
                    position = expected
            for frame in resampler.resample(decoded):
                values = frame.to_ndarray().astype(np.float32, copy=False)
                yield position or 0, values
                position = (position or 0) + values.shape[1]
        if position is not None and position >= span[1] * rate:
            return


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
