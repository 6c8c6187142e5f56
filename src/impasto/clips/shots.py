"""The shots of a clip, which are painted independently of each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from impasto import images
from impasto.clips.clip import Clip
from impasto.clips.cuts import SIDE_PX, is_cut
from impasto.clips.frames import Frame, FrameReader, to_frame
from impasto.clips.timing import Selected, Selection
from impasto.errors import FrameError

__all__ = ["begins_shot", "find_cuts", "find_shots"]


def begins_shot(cuts: Sequence[float], before: Fraction | None, time: Fraction) -> bool:
    """Return True for the first frame, and for the first at or after a cut.

    `time` and `before` are the times in the clip of a frame and of the one before, in seconds.
    """
    return before is None or any(before < cut <= time for cut in cuts)


def find_shots(selection: Selection, cuts: Sequence[float]) -> tuple[range, ...]:
    """Return the frames of each shot, as positions in `selection`. `cuts` are times in the clip, in seconds."""
    frames = selection.frames
    before = [None, *(frame.source_time for frame in frames)]
    starts = [n for n, frame in enumerate(frames) if begins_shot(cuts, before[n], frame.source_time)]
    return tuple(range(*ends) for ends in zip(starts, [*starts[1:], len(frames)], strict=True))


def find_cuts(
    clip: Clip, selection: Selection, on_frame: Callable[[int], object] = lambda number: None
) -> tuple[float, ...]:
    """Find the cuts of the selected frames: times in the clip, in seconds, each between two frames.

    They are decoded, up to one that cannot be read; `on_frame` is called after each with its position in `selection`.
    """
    reader, cuts = FrameReader(clip, SIDE_PX), []
    before: tuple[Selected, Frame] | None = None
    for number, selected in enumerate(selection.frames):
        try:
            pixels = reader.read(selected.source)
        except FrameError:
            break
        frame = to_frame(images.load(pixels, long_side_px=SIDE_PX).pixels)
        if before is not None and is_cut(frame, before[1]):
            cuts.append(float((before[0].source_time + selected.source_time) / 2))
        before = selected, frame
        on_frame(number)
    return tuple(cuts)
