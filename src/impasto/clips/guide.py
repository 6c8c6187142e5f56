"""The guide of a frame: what earlier pictures show at the same place of the scene, and how far that can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from impasto.clips.drift import Colors, find_colors
from impasto.clips.flow import Field, find_confidence, find_flow, warp
from impasto.clips.frames import Frame, to_tensor
from impasto.core.temporal import Reference

__all__ = ["WEIGHT", "Guide", "Shown", "find_guide"]

WEIGHT = 30.0
"""Factor of the temporal term at a temporal weight of 1: see benchmarks/video.py."""


@dataclass(frozen=True)
class Shown:
    """A frame of the clip, and the picture painted from it."""

    frame: Frame
    picture: Frame


@dataclass(frozen=True)
class Guide:
    """The start of a frame's picture, and how much the picture keeps to it, (H, W): see `core.temporal.Reference`.

    Without `colors`, the colors may change freely.
    """

    start: Frame
    confidence: Field
    still: Field | None
    colors: Colors | None = None

    @property
    def is_still(self) -> bool:
        """True if nothing moved at all."""
        return self.still is not None and bool(self.still.min() >= 1)

    def reference(self, weight: float) -> Reference:
        """Return the guide as tensors, with a weight relative to `WEIGHT`."""
        still = None if self.still is None or not self.still.any() else torch.from_numpy(self.still)[None, None]
        confidence = torch.from_numpy(self.confidence)[None, None]
        return Reference(to_tensor(self.start), confidence, weight * WEIGHT, still)

    def keep(self, picture: Frame) -> Frame:
        """Return a picture with the earlier colors, and with exactly the earlier pixels where nothing moved."""
        if self.colors is not None:
            picture = self.colors.give(picture)
        return picture if self.still is None else np.where(self.still[..., None] > 0, self.start, picture)

    def blend(self, picture: Frame, share: float) -> Guide:
        """Return a guide to a mixture with another picture of the same frame, to paint all of it anew."""
        mixed = self.start + share * (picture.astype(np.float32) - self.start)
        return Guide(np.asarray(np.rint(mixed), np.uint8), np.ones_like(self.confidence), None)


def find_guide(
    frame: Frame, earlier: Sequence[Shown], to_before: Field, still: Field | None, *, hold_colors: bool = True
) -> Guide:
    """Follow the motion from the pictures of earlier frames, the nearest first; `to_before` is the flow to that one.

    A later one counts only where no nearer one shows the same part of the scene.
    """
    nearest, *others = earlier
    start = warp(nearest.picture, to_before)
    confidence = find_confidence(to_before, find_flow(nearest.frame, frame))
    colors = find_colors(frame, nearest.frame, nearest.picture, to_before, confidence) if hold_colors else None
    for other in others:
        to_other = find_flow(frame, other.frame)
        reappears = (find_confidence(to_other, find_flow(other.frame, frame)) > 0) & (confidence == 0)
        start = np.where(reappears[..., None], warp(other.picture, to_other), start)
        confidence = np.where(reappears, np.float32(1), confidence)
    if still is not None:
        start = np.where(still[..., None] > 0, nearest.picture, start)
        confidence = np.maximum(confidence, still)
    return Guide(np.ascontiguousarray(start), confidence, still, colors)
