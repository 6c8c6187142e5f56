"""The chain of a clip's frames: each is painted from the picture of the frame before."""

from __future__ import annotations

import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from impasto.clips.cuts import is_cut
from impasto.clips.flow import find_flow
from impasto.clips.frame_folder import FrameFolder
from impasto.clips.frames import Frame, to_frame
from impasto.clips.guide import Guide, Shown, find_guide
from impasto.clips.shots import begins_shot
from impasto.clips.still import StillParts
from impasto.clips.timing import Selected
from impasto.config.video import VideoOptions, options_at
from impasto.core.method import Progress
from impasto.run import Observer, Run, iterate

__all__ = ["Chain", "FrameDone"]

logger = logging.getLogger("impasto")

LOOKBACK = {"short": (1,), "long": (1, 2, 4)}
"""Distances in frames of the pictures that a frame keeps to (Ruder et al. 2016)."""

LOOP_FRAMES = 12
"""Frames in which the end of a loop turns into its beginning; at most half of the clip."""


class FrameDone(NamedTuple):
    """A frame that is painted, (H, W, 3) of uint8. `number` and `shot` count from 1; `name` is that of its file.

    A frame that was there before, or that is the same as the one before, has no iterations and no losses.
    """

    number: int
    name: str
    shot: int
    picture: Frame
    iterations: int
    seconds: float
    losses: Mapping[str, float]


RunOf = Callable[[Selected, Frame, Guide | None, Mapping[str, Any]], Run]
"""Builds the run of a frame: from noise, or from a guide, with the options of its time."""


@dataclass
class Chain:
    """Paints frames in order into a folder, and leaves those that are there. The folder alone is the state.

    `observers` see the steps of each frame. `is_closed` is true once the seam of a loop is done.
    """

    run_of: RunOf
    video: VideoOptions
    folder: FrameFolder
    observers: Sequence[Observer] = ()
    is_closed: bool = field(default=False, init=False)
    _shown: deque[Shown] = field(default_factory=lambda: deque(maxlen=max(LOOKBACK["long"])), init=False)
    _still: StillParts = field(default_factory=StillParts, init=False)
    _options: Mapping[str, Any] = field(default_factory=dict, init=False)
    _shot: int = field(default=0, init=False)
    _time: Fraction | None = field(default=None, init=False)

    def paint(self, frames: Iterable[tuple[int, Selected, Frame]]) -> Iterator[Progress | FrameDone]:
        """Yield the steps of frames, and each frame once it is painted. Each comes with its number in the clip."""
        for number, selected, frame in frames:
            if self._begins_shot(selected, frame):
                self._shown.clear()
                self._shot += 1
            options = options_at(self.video.keyframes, selected.time)
            guide = self._guide(frame, options)
            yield (yield from self._paint(number, f"{number:06}", selected, frame, guide, options))

    def close_loop(self, frames: Iterable[tuple[int, Selected, Frame]], count: int) -> Iterator[Progress | FrameDone]:
        """Repaint the first frames of a clip, from its last one, and more and more from what they were.

        Where the end and the beginning are different scenes, there is nothing to close.
        """
        steps = min(LOOP_FRAMES, count // 2)
        for number, selected, frame in itertools.islice(frames, steps):
            if number == 1 and is_cut(frame, self._shown[-1].frame):
                logger.warning("The clip ends with another scene than it begins with, so that loop changes nothing.")
                break
            before, options = self.folder.read(f"{number:06}"), options_at(self.video.keyframes, selected.time)
            guide = self._guide(frame, options)
            assert before is not None
            assert guide is not None
            guide = guide.blend(before, number / (steps + 1))
            yield (yield from self._paint(number, f"loop_{number:06}", selected, frame, guide, options))
        self.is_closed = True

    def _begins_shot(self, selected: Selected, frame: Frame) -> bool:
        if self._shown and self.video.cuts is None:
            return is_cut(frame, self._shown[-1].frame)
        return begins_shot(self.video.cuts or (), self._time, selected.source_time)

    def _guide(self, frame: Frame, options: Mapping[str, Any]) -> Guide | None:
        """Return the guide of a frame, None for the first of a shot."""
        unchanged, self._options = options == self._options, options
        if not self._shown:
            self._still.restart(frame)
            return None
        nearest = self._shown[-1]
        to_before = find_flow(frame, nearest.frame)
        still = None
        if self.video.still and unchanged:
            still = self._still.find(frame, nearest.frame, to_before)
        else:
            self._still.restart(frame)
        distances = [distance for distance in LOOKBACK[self.video.consistency] if distance <= len(self._shown)]
        earlier = [self._shown[-distance] for distance in distances]
        return find_guide(frame, earlier, to_before, still, hold_colors=unchanged)

    def _paint(
        self,
        number: int,
        name: str,
        selected: Selected,
        frame: Frame,
        guide: Guide | None,
        options: Mapping[str, Any],
    ) -> Generator[Progress, None, FrameDone]:
        began, iterations, losses = time.monotonic(), 0, {}
        picture = self.folder.read(name)
        if picture is None:
            if guide is not None and guide.is_still:
                picture = guide.start
            else:
                run = self.run_of(selected, frame, guide, options)
                yield from iterate(run, self.observers)
                result = run.result()
                picture, iterations, losses = to_frame(result.image), result.iterations, result.losses
                picture = picture if guide is None else guide.keep(picture)
            self.folder.write(name, picture)
        self._shown.append(Shown(frame, picture))
        self._time = selected.source_time
        return FrameDone(number, name, self._shot, picture, iterations, time.monotonic() - began, losses)
