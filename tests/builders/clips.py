"""Small clips, encoded by PyAV itself."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from torch import Tensor

RATE = Fraction(25)
LEVELS = 8
"""Difference in brightness from one frame to the next."""

MATRICES = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
"""Weights of red and blue by ITU-T H.273's number: BT.709, BT.601, BT.2020."""


def numbered_frame(number: int, height: int = 48, width: int = 64) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a picture that tells its number by its brightness, with a red top left corner."""
    pixels = np.full((height, width, 3), 30 + LEVELS * number, np.uint8)
    pixels[: height // 4, : width // 4] = (230, 20, 20)
    return pixels


def read_number(pixels: Tensor) -> int:
    """Return the number of a frame that `numbered_frame` made."""
    height, width = pixels.shape[2:]
    middle = pixels[..., height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8]
    return round((float(middle.mean()) * 255 - 30) / LEVELS)


def write_clip(
    path: Path,
    frames: Sequence[np.ndarray[Any, Any]],
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    times: Sequence[int] | None = None,
    clock: Fraction = 1 / RATE,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    sound: str | None = None,
    sound_s: float | None = None,
    rotation: tuple[float, bool, bool] | None = None,
    pixel_aspect: Fraction | None = None,
) -> Path:
    """Encode frames (H, W, 3) at `times`, in units of `clock`."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=RATE, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = clock
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if rotation is not None:
            stream.set_display_rotation(rotation[0], hflip=rotation[1], vflip=rotation[2])
        track: Any = container.add_stream(sound, rate=48_000, layout="stereo") if sound else None
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = times[number] if times else number, clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track is not None:
            seconds = sound_s if sound_s is not None else float(len(frames) / RATE)
            _write_tone(container, track, round(48_000 * seconds))
    return path


def _write_tone(container: Any, track: Any, count: int) -> None:
    wave = (0.3 * np.sin(np.arange(count) * 2 * np.pi * 440 / 48_000)).astype(np.float32)
    for start in range(0, count, 960):
        part = np.ascontiguousarray(np.stack([wave[start : start + 960]] * 2))
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
        container.mux(track.encode(frame))
    container.mux(track.encode(None))


def write_patch(path: Path, color: tuple[int, int, int], matrix: int, *, full: bool, bits: int, size: int = 64) -> Path:
    """Write two frames of one color without loss, converted by the formulas of ITU-T H.273."""
    levels = convert_color(color, matrix or 1, full=full, bits=bits)
    pixel_format = "yuv420p" if bits == 8 else f"yuv420p{bits}le"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = size, 64, pixel_format
        context = stream.codec_context
        context.colorspace, context.color_range = matrix or 2, 2 if full else 1
        for _ in range(2):
            frame = av.VideoFrame(64, size, pixel_format)
            for plane, level in zip(frame.planes, levels, strict=True):
                kind = np.uint8 if bits == 8 else np.uint16
                plane.update(np.full(plane.buffer_size // np.dtype(kind).itemsize, level, kind).tobytes())
            frame.colorspace, frame.color_range = context.colorspace, context.color_range
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def convert_color(color: tuple[int, int, int], matrix: int, *, full: bool, bits: int) -> list[int]:
    """Return Y, Cb and Cr of a color of 8 bits."""
    red, blue = MATRICES[matrix]
    r, g, b = (value / 255 for value in color)
    luma = red * r + (1 - red - blue) * g + blue * b
    cb, cr = (b - luma) / (2 * (1 - blue)), (r - luma) / (2 * (1 - red))
    scale, peak = 2 ** (bits - 8), 2**bits - 1
    spans = (peak, peak) if full else (219 * scale, 224 * scale)
    values = [luma * spans[0] + (0 if full else 16 * scale), *(128 * scale + part * spans[1] for part in (cb, cr))]
    return [round(min(max(value, 0), peak)) for value in values]


def damage(path: Path, number: int) -> None:
    """Overwrite the packet of a frame, in the order of decoding, with noise."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        position, size = packets[number].pos, packets[number].size
    assert position is not None
    with path.open("r+b") as file:
        file.seek(position + 4)
        file.write(np.random.default_rng(1).integers(0, 256, size - 4, np.uint8).tobytes())


def count_samples(path: Path) -> int:
    """Return the number of samples of a file's first sound."""
    with av.open(str(path)) as container:
        return sum(frame.samples for frame in container.decode(audio=0))
