"""Clips: a video file, an animation or numbered pictures, read frame by frame."""

from __future__ import annotations

import bisect
import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Protocol

from torch import Tensor

from impasto.clips.color import ColorTags
from impasto.clips.container import open_container, pick_stream
from impasto.clips.frame_index import scan_frames
from impasto.clips.picture_frames import Animation, PictureSequence, find_pictures, may_be_animated
from impasto.clips.sound import Sound, list_sounds
from impasto.clips.video_file import VideoFile, read_layout
from impasto.errors import VideoError

__all__ = ["PICTURE_RATE", "Clip", "open_clip", "select_frames"]

PICTURE_RATE = Fraction(25)
"""Frames a second of numbered pictures, which do not say."""


class FrameSource(Protocol):
    """Anything that yields frames by their numbers."""

    def frames(self, first: int, last: int, long_side_px: int | None = None) -> Iterator[Tensor]:
        """Yield frames `first` to `last` - 1, reduced to this long side if that saves time."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip that was opened. Sizes are (height, width), upright and with square pixels; times are in seconds.

    `times` starts at 0 and has the exact time of each frame; `duration` is the end of the last one. `first_time` is
    the time of the first frame in the file, which its sound is measured by. `colors` is None for pictures.
    """

    path: Path
    size: tuple[int, int]
    times: tuple[Fraction, ...]
    duration: Fraction
    rate: Fraction
    time_base: Fraction
    sounds: tuple[Sound, ...] = ()
    colors: ColorTags | None = None
    first_time: Fraction = Fraction(0)
    _source: FrameSource = field(kw_only=True, repr=False)

    @property
    def name(self) -> str:
        """The name of the file or folder."""
        return self.path.name

    @property
    def frame_count(self) -> int:
        """The number of frames."""
        return len(self.times)

    def frame(self, number: int) -> Tensor:
        """Decode one frame as float32 sRGB (1, 3, H, W) in [0, 1]. Raises `FrameError` if it is damaged."""
        return next(self.frames(number, number + 1))

    def frames(self, first: int = 0, last: int | None = None, *, long_side_px: int | None = None) -> Iterator[Tensor]:
        """Decode frames `first` to `last` - 1 in order. Raises `FrameError` at one that is damaged.

        With `long_side_px`, frames of a video that are larger are reduced to about that size, which is much faster.
        """
        last = self.frame_count if last is None else last
        if not 0 <= first <= last <= self.frame_count:
            raise IndexError(f"frames {first} to {last} of {self.frame_count}")
        if first < last:
            yield from self._source.frames(first, last, long_side_px)

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the file; of the names and bytes of numbered pictures."""
        if isinstance(self._source, PictureSequence):
            return self._source.sha256
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def open_clip(path: str | Path, *, rate: Fraction = PICTURE_RATE) -> Clip:
    """Open a video, an animated GIF or WebP, a folder of numbered pictures, or a pattern (`%04d.png`, `*.png`).

    `rate` is for pictures. The frames' times are read now, and pixels when they are asked for. Raises `VideoError`.
    """
    path = Path(path)
    try:
        if (pictures := find_pictures(path)) is not None:
            clip = _open_pictures(path, pictures, rate)
        elif not path.exists():
            raise VideoError(f"{path}: no such file. Check the path.")
        elif path.stat().st_size == 0:
            raise VideoError(f"{path} is empty. Give a complete video file.")
        else:
            clip = _open_animation(path) if may_be_animated(path) else _open_video(path)
    except OSError as error:
        raise VideoError(f"{path} cannot be read: {error.strerror or error}.") from error
    if clip.frame_count == 1:
        raise VideoError(f"{path} holds a single picture, and a clip needs two or more. Paint it as a picture.")
    return clip


def _open_pictures(path: Path, files: list[Path], rate: Fraction) -> Clip:
    source = PictureSequence(files)
    times = tuple(number / rate for number in range(len(files)))
    return Clip(path, source.size, times, len(files) / rate, rate, 1 / rate, _source=source)


def _open_animation(path: Path) -> Clip:
    source = Animation(path)
    *times, duration = itertools.accumulate(source.durations, initial=Fraction(0))
    rate = _mean_rate(times, duration, Fraction(1, 100), [1 / source.durations[0]])
    return Clip(path, source.size, tuple(times), duration, rate, Fraction(1, 1000), _source=source)


def _open_video(path: Path) -> Clip:
    index, layout = scan_frames(path), read_layout(path)
    with open_container(path) as container:
        stream = pick_stream(container, path)
        sounds = list_sounds(container)
        nominal = [rate for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
    times = [(time - index.times[0]) * index.time_base for time in index.times]
    duration = times[-1] + index.last_duration * index.time_base
    if duration <= 0:
        raise VideoError(f"{path} lasts 0 s. Give a complete video file.")
    source = VideoFile(path, index, layout)
    rate = _mean_rate(times, duration, index.time_base, nominal)
    first_time = index.times[0] * index.time_base
    return Clip(
        path, layout.size, tuple(times), duration, rate, index.time_base, sounds, layout.colors, first_time,
        _source=source,
    )  # fmt: skip


def _mean_rate(times: list[Fraction], duration: Fraction, step: Fraction, nominal: list[Fraction]) -> Fraction:
    """Return the nominal rate that agrees with all times to within a step of the clock, otherwise the mean."""
    for rate in nominal:
        if all(abs(time - number / rate) <= step for number, time in enumerate(times)):
            return rate
    return len(times) / duration


def select_frames(clip: Clip, start_s: float | None = None, end_s: float | None = None) -> range:
    """Return the frames shown from `start_s` until before `end_s`. Raises `VideoError` if there are none."""
    start = Fraction(str(start_s or 0))  # the decimal that was typed, not its binary neighbor
    end = clip.duration if end_s is None else Fraction(str(end_s))
    if start < 0 or end < 0:
        raise VideoError(f"The part from {float(start):g} s to {float(end):g} s starts before the clip. Use 0 or more.")
    if start >= clip.duration:
        raise VideoError(
            f"start = {float(start):g} s is after the end of {clip.path}, which lasts {float(clip.duration):.2f} s. "
            "Use an earlier start."
        )
    if end <= start:
        raise VideoError(f"end = {float(end):g} s is not after start = {float(start):g} s. Use a later end.")
    first = max(0, bisect.bisect_right(clip.times, start) - 1)
    return range(first, bisect.bisect_left(clip.times, end))
