"""Colors that stay along a clip.

Every frame is painted on from the one before, so that small changes of color in one direction would add up. The colors
of what two frames show are therefore those of the picture before, except for what changes in the clip itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from impasto.clips.flow import Field, look_up
from impasto.clips.frames import Frame, to_frame, to_tensor
from impasto.images.oklab import from_oklab, to_oklab

__all__ = ["Colors", "find_colors"]

MIN_SEEN = 0.1
"""Share of a frame that must be painted and show the same as the one before, for its colors to be kept."""

MAX_GAIN = 1.1
"""Largest change of contrast in one frame, which keeps noise in dull colors small."""

PASSES = 3
"""What falls out of the range of colors and is clipped would otherwise add up."""

DULL = 0.02
"""Deviation below which a color of the clip counts as constant."""


@dataclass(frozen=True)
class Colors:
    """The colors that a frame's picture has to have, from the frame before and its picture, both moved to the frame.

    `seen` (H, W) is 1 where both frames show the same.
    """

    frame: Frame
    before: Frame
    picture_before: Frame
    seen: Field

    def give(self, picture: Frame) -> Frame:
        """Return a picture with these colors. What was not painted but protected stays; all else changes in one way."""
        painted = _differs(picture, self.frame)
        shared = (self.seen > 0) & painted & _differs(self.picture_before, self.before)
        if shared.mean() < MIN_SEEN:
            return picture
        mean, deviation = self._find_wanted(shared)
        colors, result = to_oklab(to_tensor(picture)), picture
        for _ in range(PASSES):
            found_mean, found_deviation = _find_moments(result, shared)
            gain = (deviation / found_deviation.clamp(min=1e-6)).clamp(1 / MAX_GAIN, MAX_GAIN)
            colors = (colors - found_mean) * gain + mean
            result = np.where(painted[..., None], to_frame(from_oklab(colors).clamp(0, 1)), picture)
        return result

    def _find_wanted(self, shared: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of the picture before, changed like those of the frames."""
        mean, deviation = _find_moments(self.picture_before, shared)
        scene_mean, scene_deviation = _find_moments(self.frame, shared)
        before_mean, before_deviation = _find_moments(self.before, shared)
        change = ((scene_deviation + DULL) / (before_deviation + DULL)).clamp(1 / MAX_GAIN, MAX_GAIN)
        return mean + scene_mean - before_mean, deviation * change


def find_colors(frame: Frame, before: Frame, picture_before: Frame, to_before: Field, seen: Field) -> Colors:
    """Return the colors of a frame's picture. `to_before` is the flow to the frame before."""
    # Interpolation would lower the deviation a little with each frame.
    return Colors(frame, look_up(before, to_before), look_up(picture_before, to_before), seen)


def _differs(image: Frame, other: Frame) -> NDArray[np.bool_]:
    return np.asarray((image != other).any(axis=-1))


def _find_moments(picture: Frame, chosen: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each Oklab channel, (1, 3, 1, 1) each."""
    colors = to_oklab(to_tensor(picture[chosen][None]))
    return colors.mean(dim=(2, 3), keepdim=True), colors.std(dim=(2, 3), keepdim=True)
