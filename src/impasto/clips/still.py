"""The parts of a scene that do not move, whose pixels are kept exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from impasto.clips.flow import Field
from impasto.clips.frames import Frame
from impasto.clips.opencv import cv2

__all__ = ["StillParts"]

SPREAD_PX = 3.0
"""Scale of the average that a change is measured in, so that noise counts for little."""

MOTION_SPREAD_PX = 25.0
MAX_MOTION_PX = 0.3
"""Flat areas have no motion of their own that could be measured: that of structures around them counts."""

MIN_CHANGE, NOISE_SHARE = 2.0, 0.6
"""Change in levels of 255 from which a part counts as moved: 2, and .6 of the noise."""


class StillParts:
    """The still parts of a shot, frame by frame.

    Each pixel is compared with the frame in which it was painted last, so that slow changes add up until it is painted
    anew.
    """

    def __init__(self) -> None:
        self._painted: Frame | None = None

    def find(self, frame: Frame, before: Frame, to_before: Field) -> Field:
        """Return 1 where the picture of the frame before is kept, (H, W). `to_before` is the flow between the two."""
        if self._painted is None:
            self._painted = before.copy()
        change = np.abs(_average(frame.astype(np.float32) - self._painted)).max(axis=-1)
        limit = MIN_CHANGE + NOISE_SHARE * _noise(frame, before)
        still = (change < limit) & (_nearby_motion(frame, to_before) < MAX_MOTION_PX)
        kept = cv2.morphologyEx(still.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
        self._painted = np.where(kept[..., None] > 0, self._painted, frame)
        return kept.astype(np.float32)

    def restart(self, frame: Frame) -> None:
        """Take note that all of a frame was painted."""
        self._painted = frame.copy()


def _average(image: NDArray[Any], spread_px: float = SPREAD_PX) -> Field:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), spread_px), np.float32)


def _noise(frame: Frame, before: Frame) -> float:
    """Estimate the standard deviation of the noise of a frame, in levels, from the median of fine changes."""
    change = frame.astype(np.float32) - before
    fine = change - cv2.blur(change, (3, 3))
    return float(np.median(np.abs(fine)) / 0.6745 / np.sqrt(2 * 8 / 9))


def _nearby_motion(frame: Frame, flow: Field) -> Field:
    """Return the length of the average motion around each pixel, weighted by how much structure there is."""
    gray = _average(np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.float32), 1.5)
    slopes = [np.asarray(cv2.Sobel(gray, cv2.CV_32F, *order, scale=1 / 8)) for order in ((1, 0), (0, 1))]
    structure = np.square(_average(np.square(slopes[0]) + np.square(slopes[1]))) + 1e-6
    motion = _average(flow * structure[..., None], MOTION_SPREAD_PX)
    return np.asarray(np.hypot(motion[..., 0], motion[..., 1]) / _average(structure, MOTION_SPREAD_PX), np.float32)
