"""Frames as arrays of 8 bits, which motion is found in, and as tensors, which are painted; and frames read in order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from impasto.clips.clip import Clip
from impasto.core.tensor_store import RamStore
from impasto.images import quantize

__all__ = ["Frame", "FrameReader", "to_frame", "to_tensor"]

Frame = NDArray[np.uint8]
"""A frame, (H, W, 3)."""


def to_frame(pixels: Tensor) -> Frame:
    """Return an image (1, 3, H, W) in [0, 1] as a frame."""
    return np.asarray(quantize(pixels, None, 8, RamStore()), np.uint8)


def to_tensor(frame: Frame) -> Tensor:
    """Return a frame as an image (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(frame.astype(np.float32) / np.float32(255)).permute(2, 0, 1)[None].contiguous()


class FrameReader:
    """Reads frames of a clip by their numbers. In rising order, each is decoded once."""

    def __init__(self, clip: Clip, long_side_px: int | None = None) -> None:
        self._clip, self._long_side_px = clip, long_side_px
        self._number = -1
        self._pixels: Tensor | None = None
        self._following: Iterator[Tensor] = iter(())

    def read(self, number: int) -> Tensor:
        """Return a frame (1, 3, H, W). Raises `FrameError` if it is damaged."""
        if self._pixels is None or number < self._number:
            self._following = self._clip.frames(number, long_side_px=self._long_side_px)
            self._number, self._pixels = number, next(self._following)
        while self._number < number:
            self._pixels = next(self._following)
            self._number += 1
        return self._pixels
