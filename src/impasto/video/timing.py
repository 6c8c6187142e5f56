"""The frames of a clip to paint, and when each is shown."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from impasto.config.video import VideoOptions

__all__ = ["Selected", "Selection", "select"]


class Selected(NamedTuple):
    """A frame to paint: its number in the clip, its time there, and its time in the output, in seconds."""

    source: int
    source_time: Fraction
    time: Fraction


class Selection(NamedTuple):
    """The frames to paint, the part of the clip in seconds that they cover, and their rate if it is constant."""

    frames: tuple[Selected, ...]
    start: Fraction
    end: Fraction
    rate: Fraction | None


def select(
    times: Sequence[Fraction], chosen: range, duration: Fraction, rate: Fraction, options: VideoOptions
) -> Selection:
    """Choose from the frames `chosen` of a clip by `every` and `fps_out`.

    With `fps_out`, frames are left out or repeated. The output starts with the first frame, and lasts as long as the
    chosen part of the clip.
    """
    start = times[chosen[0]]
    end = duration if options.end is None else min(duration, Fraction(str(options.end)))
    if options.fps_out is None:
        numbers, shown = list(chosen), [times[number] - start for number in chosen]
    else:
        rate = Fraction(str(options.fps_out))
        count = max(1, -((start - end) * rate // 1))
        shown = [number / rate for number in range(int(count))]
        numbers = [max(chosen[0], bisect.bisect_right(times, start + time) - 1) for time in shown]
    frames = [Selected(number, times[number], time) for number, time in zip(numbers, shown, strict=True)]
    return Selection(tuple(frames[:: options.every]), start, end, rate / options.every)
