"""Motion between two frames: where each pixel was before, and where that can be trusted.

A flow (H, W, 2) of float32 holds for each pixel of one frame the distance in
pixels (right, down) to the same part of the scene in the other frame. Ruder, Dosovitskiy and Brox 2016, section 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from impasto.clips.frames import Frame
from impasto.clips.opencv import cv2

__all__ = ["Field", "find_confidence", "find_flow", "look_up", "warp"]

Field = NDArray[np.float32]

SMOOTHNESS, REFINEMENTS = 60.0, 10
"""Weight of smoothness in the variational refinement, and its iterations. With OpenCV's 20 and 5, a photo that turns,
grows and moves by 3 px is off by .10 px in the median at a noise of 3 levels; with these by .07 px."""

BLUR = 1.0

MIN_SIDE_PX = 64
"""The search fails on smaller frames, so that their edges are repeated."""

TOLERANCE, MIN_TOLERANCE = 0.01, 0.5
EDGE_TOLERANCE, MIN_EDGE_TOLERANCE = 0.01, 0.002
"""Of the squared lengths of both flows, and px² (Sundaram, Brox, Keutzer 2010)."""


def find_flow(frame: Frame, other: Frame) -> Field:
    """Return the flow from a frame to another of the same size, by dense inverse search (Kroeger et al. 2016)."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setVariationalRefinementAlpha(SMOOTHNESS)
    search.setVariationalRefinementIterations(REFINEMENTS)
    height, width = frame.shape[:2]
    pad_y, pad_x = (max(0, MIN_SIDE_PX - side) for side in (height, width))
    gray = [_gray(np.pad(each, ((0, pad_y), (0, pad_x), (0, 0)), mode="edge")) for each in (frame, other)]
    return np.asarray(search.calc(gray[0], gray[1], None), np.float32)[:height, :width]  # type: ignore[call-overload]


def _gray(frame: Frame) -> NDArray[Any]:
    return cv2.GaussianBlur(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY), (0, 0), BLUR)


def warp(image: NDArray[Any], flow: Field, *, smooth: bool = True) -> NDArray[Any]:
    """Return an image (H, W, ...) moved by a flow that leads to it; outside, its edges are repeated.

    Without motion the result is the image itself. `smooth` interpolates by cubics, which keep more of fine strokes.
    """
    return _remap(image, flow, cv2.INTER_CUBIC if smooth else cv2.INTER_LINEAR)


def look_up(image: NDArray[Any], flow: Field) -> NDArray[Any]:
    """Return an image (H, W, ...) moved by a flow that leads to it, each pixel as it is there."""
    return _remap(image, flow, cv2.INTER_NEAREST)


def _remap(image: NDArray[Any], flow: Field, method: int) -> NDArray[Any]:
    x, y = _ends(flow)
    return cv2.remap(image, x, y, method, borderMode=cv2.BORDER_REPLICATE)


def _ends(flow: Field) -> tuple[Field, Field]:
    """Return where a flow leads: columns and rows, (H, W) each."""
    height, width = flow.shape[:2]
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    return flow[..., 0] + columns, np.asarray(flow[..., 1] + rows[:, None], np.float32)


def find_confidence(to_before: Field, from_before: Field) -> Field:
    """Return 1 where both frames show the same part of the scene, else 0, (H, W).

    `to_before` leads from the frame to the one before, `from_before` back. 0 where the two disagree, because one of
    the frames hides that part; at the edge of what moves; and where the flow leads out of the picture.
    """
    height, width = to_before.shape[:2]
    returning = warp(from_before, to_before, smooth=False)
    length = _square(to_before)
    hidden = _square(to_before + returning) > TOLERANCE * (length + _square(returning)) + MIN_TOLERANCE
    slope = sum(_square(cv2.Sobel(to_before, cv2.CV_32F, *order, scale=1 / 8)) for order in ((1, 0), (0, 1)))
    edge = slope > EDGE_TOLERANCE * length + MIN_EDGE_TOLERANCE
    x, y = _ends(to_before)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return np.asarray(inside & ~hidden & ~edge, np.float32)


def _square(field: NDArray[Any]) -> Field:
    return np.asarray(np.square(field).sum(axis=-1), np.float32)
