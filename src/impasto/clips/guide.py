"""The guide of a frame: what earlier pictures show at the same place of the scene, and how far that can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from impasto.clips.flow import Field, Frame, find_confidence, find_flow, warp
from impasto.core.temporal import Reference

__all__ = ["WEIGHT", "Guide", "Shown", "find_guide", "to_frame", "to_tensor"]

WEIGHT = 30.0
"""Factor of the temporal term at a temporal weight of 1: see benchmarks/video.py."""


@dataclass(frozen=True)
class Shown:
    """A frame of the clip, and the picture painted from it."""

    frame: Frame
    picture: Frame


@dataclass(frozen=True)
class Guide:
    """Where a frame starts, (H, W, 3), and how much it keeps to that, (H, W): see `core.temporal.Reference`."""

    start: Frame
    confidence: Field
    still: Field | None

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
        """Return a picture with exactly the earlier pixels where nothing moved."""
        return picture if self.still is None else np.where(self.still[..., None] > 0, self.start, picture)

    def blend(self, picture: Frame, share: float) -> Guide:
        """Return a guide to a mixture with another picture of the same frame, to paint all of it anew."""
        mixed = self.start + share * (picture.astype(np.float32) - self.start)
        return Guide(_round(mixed), np.ones_like(self.confidence), None)


def find_guide(frame: Frame, earlier: Sequence[Shown], to_before: Field, still: Field | None) -> Guide:
    """Follow the motion from the pictures of earlier frames, the nearest first; `to_before` is the flow to that one.

    A later one counts only where no nearer one shows the same part of the scene.
    """
    nearest, *others = earlier
    start = warp(nearest.picture, to_before)
    confidence = find_confidence(to_before, find_flow(nearest.frame, frame))
    for other in others:
        to_other = find_flow(frame, other.frame)
        reappears = (find_confidence(to_other, find_flow(other.frame, frame)) > 0) & (confidence == 0)
        start = np.where(reappears[..., None], warp(other.picture, to_other), start)
        confidence = np.where(reappears, np.float32(1), confidence)
    if still is not None:
        start = np.where(still[..., None] > 0, nearest.picture, start)
        confidence = np.maximum(confidence, still)
    return Guide(np.ascontiguousarray(start), confidence, still)


def to_frame(pixels: Tensor) -> Frame:
    """Return an image (1, 3, H, W) in [0, 1] as an array (H, W, 3) of uint8."""
    return _round(pixels[0].permute(1, 2, 0).contiguous().cpu().numpy() * np.float32(255))


def to_tensor(frame: Frame) -> Tensor:
    """Return an array (H, W, 3) of uint8 as an image (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(frame.astype(np.float32) / np.float32(255)).permute(2, 0, 1)[None].contiguous()


def _round(values: Field) -> Frame:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
