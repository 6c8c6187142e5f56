"""The frames of a clip to paint, and when each is shown."""

from __future__ import annotations

import bisect
import math
from fractions import Fraction
from typing import NamedTuple

from impasto.clips.clip import Clip, select_frames
from impasto.config.video import VideoOptions

__all__ = ["Selected", "Selection", "select"]


class Selected(NamedTuple):
    """A frame to paint: its number in the clip, its time there, and its time in the output, in seconds."""

    source: int
    source_time: Fraction
    time: Fraction


class Selection(NamedTuple):
    """The frames to paint, the part of the clip in seconds that they cover, and their mean rate."""

    frames: tuple[Selected, ...]
    start: Fraction
    end: Fraction
    rate: Fraction


def select(clip: Clip, options: VideoOptions) -> Selection:
    """Choose the frames of a clip that `options` ask for. Raises `VideoError` if there are none.

    With `fps_out`, frames are left out or repeated. The output starts with the first frame, and lasts as long as the
    chosen part of the clip.
    """
    chosen = select_frames(clip, options.start, options.end)
    start, times = clip.times[chosen[0]], clip.times
    end = clip.duration if options.end is None else min(clip.duration, Fraction(str(options.end)))
    numbers, shown, rate = list(chosen), [times[number] - start for number in chosen], clip.rate
    if options.fps_out is not None:
        rate = Fraction(str(options.fps_out))
        shown = [number / rate for number in range(max(1, math.ceil((end - start) * rate)))]
        numbers = [bisect.bisect_right(times, start + time) - 1 for time in shown]
    frames = [Selected(number, times[number], time) for number, time in zip(numbers, shown, strict=True)]
    return Selection(tuple(frames[:: options.every]), start, end, rate / options.every)
