"""Colors that stay along a clip.

Every frame is painted on from the one before, so that small changes of color in one direction would add up. The colors
of what two frames show are therefore those of the picture before, except for what changes in the clip itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor

from impasto.clips.flow import Field, look_up
from impasto.clips.frames import Frame, to_frame, to_tensor
from impasto.images.oklab import from_oklab, to_oklab

__all__ = ["Colors", "find_colors"]

MIN_SEEN = 0.1
"""Share of a frame that must show the same as the one before."""

MAX_GAIN = 1.1
"""Largest change of contrast in one frame, which keeps noise in dull colors small."""

DULL = 0.02
"""Deviation below which a color of the clip counts as constant."""


class _Moments(NamedTuple):
    """Mean and standard deviation of each Oklab channel, (3, 1)."""

    mean: Tensor
    deviation: Tensor


@dataclass(frozen=True)
class Colors:
    """The mean and deviation that the colors of a picture have to have where `seen` (H, W) is true."""

    wanted: _Moments
    seen: Field

    def give(self, picture: Frame) -> Frame:
        """Return a picture with these colors. All of it is changed in the same way."""
        found = _moments(picture, self.seen)
        gain = (self.wanted.deviation / found.deviation.clamp(min=1e-6)).clamp(1 / MAX_GAIN, MAX_GAIN)
        colors = to_oklab(to_tensor(picture))
        shape = (1, 3, 1, 1)
        mean, wanted = found.mean.view(shape), self.wanted.mean.view(shape)
        return to_frame(from_oklab((colors - mean) * gain.view(shape) + wanted).clamp(0, 1))


def find_colors(frame: Frame, before: Frame, picture_before: Frame, to_before: Field, seen: Field) -> Colors | None:
    """Return the colors of a frame's picture, from those of the picture before; None if they share too little.

    `to_before` is the flow to the frame before, and `seen` (H, W) is 1 where both show the same.
    """
    if seen.mean() < MIN_SEEN:
        return None
    # Interpolation would lower the deviation a little with each frame.
    scene, scene_before = _moments(frame, seen), _moments(look_up(before, to_before), seen)
    painted = _moments(look_up(picture_before, to_before), seen)
    change = ((scene.deviation + DULL) / (scene_before.deviation + DULL)).clamp(1 / MAX_GAIN, MAX_GAIN)
    return Colors(_Moments(painted.mean + scene.mean - scene_before.mean, painted.deviation * change), seen)


def _moments(picture: Frame, seen: Field) -> _Moments:
    chosen = to_oklab(to_tensor(np.ascontiguousarray(picture[seen > 0])[None]).flatten(2))[0]
    return _Moments(chosen.mean(dim=1, keepdim=True), chosen.std(dim=1, keepdim=True))
