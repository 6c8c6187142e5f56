"""Brush strokes: paths that follow a flow, and the pixels that each stroke covers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.samples.canvas import Floats

Flow: TypeAlias = Callable[[Floats], Floats]

_ALONG_PX, _ACROSS_PX = 0.55, 0.75  # Sample spacing that leaves no pixel of a stroke uncovered.
_CHUNK = 1 << 18  # Small enough for the cache of a processor.


@dataclass(frozen=True)
class Marks:
    """The visible pixels of strokes.

    `pixel` is an index into the flattened canvas, `stroke` into the strokes; `along` is 0 … 1 from start to end,
    `across` -1 … 1 from edge to edge.
    """

    pixel: NDArray[np.int64]
    stroke: NDArray[np.int64]
    along: Floats
    across: Floats


def follow(flow: Flow, middles: Floats, length: float, steps: int) -> Floats:
    """Trace paths (N, 2 steps + 1, 2) of a length through `middles` (N, 2), along the unit vectors of `flow`."""
    path = [middles]
    for stride in (-length / steps / 2, length / steps / 2):
        for _ in range(steps):
            here = path[-1]
            path.append(here + stride * flow(here + stride / 2 * flow(here)))
        path.reverse()
    return np.stack(path[::-1], axis=1)


def cover(shape: tuple[int, ...], paths: Floats, half_widths: Floats, *, ragged: Floats | None = None) -> Marks:
    """Find the stroke that is visible at each pixel; later strokes cover earlier ones.

    paths: (N, M, 2) in units of the canvas height; half_widths: (N, M) likewise, zero at pointed
    ends; ragged: (N, B), the part of the path, 0 … 1, that each bristle reaches, from edge to edge.
    Pixels without a stroke are left out.
    """
    height, width = shape
    reach = np.hypot(*np.diff(paths, axis=1).transpose(2, 0, 1)).sum(axis=1).max()
    n_along = max(3, math.ceil(reach * height / _ALONG_PX))
    n_across = max(3, math.ceil(2 * float(half_widths.max()) * height / _ACROSS_PX))
    across = np.linspace(-1, 1, n_across, dtype=np.float32)
    along = np.linspace(0, 1, n_along, dtype=np.float32)
    tangents = np.gradient(paths, axis=1)
    normals = tangents[..., ::-1] * np.array([-1, 1], np.float32)
    normals /= np.maximum(np.hypot(normals[..., :1], normals[..., 1:]), 1e-9)
    sides = normals * half_widths[..., None]
    owner = np.full(height * width, -1, np.int64)
    per_chunk = max(1, _CHUNK // (n_along * n_across))
    nearest = np.rint((across + 1) / 2 * (ragged.shape[1] - 1)).astype(np.int32) if ragged is not None else None
    for first in range(0, len(paths), per_chunk):
        chunk = slice(first, first + per_chunk)
        # Coordinates in arrays of their own, which are contiguous, take half the time.
        centers, lengths = (np.moveaxis(_resample(values[chunk], along), -1, 0) for values in (paths, sides))
        x, y = (
            np.floor((center[:, :, None] + length[:, :, None] * across) * height).astype(np.int32)
            for center, length in zip(centers, lengths, strict=True)
        )
        keep = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        if ragged is not None:
            keep &= along[:, None] <= ragged[chunk][:, None, nearest]
        sample = np.flatnonzero(keep)
        owner[(y * width + x).ravel()[sample]] = sample + first * n_along * n_across
    pixel = np.flatnonzero(owner >= 0)
    stroke, rest = np.divmod(owner[pixel], n_along * n_across)
    return Marks(pixel, stroke, along[rest // n_across], across[rest % n_across])


def _resample(values: Floats, at: Floats) -> Floats:
    """Interpolate `values` (N, M, 2), evenly spaced over 0 … 1, at other positions: (N, len(at), 2)."""
    position = at * (values.shape[1] - 1)
    low = np.minimum(position.astype(np.int32), values.shape[1] - 2)
    part = (position - low)[:, None]
    return np.asarray(values[:, low] * (1 - part) + values[:, low + 1] * part, dtype=np.float32)


def sample_bristles(table: Floats, marks: Marks) -> Floats:
    """Interpolate `table` (N strokes, A along, B bristles) at each mark."""
    _, n_along, n_across = table.shape
    a = marks.along * (n_along - 1)
    b = (marks.across + 1) / 2 * (n_across - 1)
    i = np.minimum(a.astype(np.int32), n_along - 2)
    j = np.minimum(b.astype(np.int32), n_across - 2)
    u, v = a - i, b - j
    at = (marks.stroke * n_along + i) * n_across + j
    values = table.ravel()
    near = values.take(at) * (1 - v) + values.take(at + 1) * v
    far = values.take(at + n_across) * (1 - v) + values.take(at + n_across + 1) * v
    return np.asarray(near * (1 - u) + far * u, dtype=np.float32)
