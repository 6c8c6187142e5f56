"""Cuts: frames that show another scene than the frame before."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from impasto.clips.flow import Frame, find_flow, warp
from impasto.clips.opencv import cv2

__all__ = ["find_cuts", "is_cut"]

SIDE_PX = 160
"""Long side that frames are compared at."""

CUT = 0.6
"""Mean difference from the frame before, moved by the flow, in standard deviations of the frame. In three clips with
five cuts it is .94 and more at the cuts, and .32 at most elsewhere."""

MIN_DEVIATION = 8.0


def is_cut(frame: Frame, before: Frame) -> bool:
    """Return True if a frame shows another scene: the one before, moved by the flow, explains little of it."""
    now, then = _reduce(frame), _reduce(before)
    moved = warp(then, find_flow(now, then), smooth=False).astype(np.float32)
    return bool(np.abs(now - moved).mean() > CUT * max(float(now.std()), MIN_DEVIATION))


def find_cuts(frames: Iterable[Frame]) -> list[int]:
    """Return the numbers of the frames, counted from 0, with which a new shot begins; the first is not among them."""
    found: list[int] = []
    before: Frame | None = None
    for number, frame in enumerate(frames):
        small = _reduce(frame)
        if before is not None and is_cut(small, before):
            found.append(number)
        before = small
    return found


def _reduce(frame: Frame) -> Frame:
    height, width = frame.shape[:2]
    factor = min(1.0, SIDE_PX / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
