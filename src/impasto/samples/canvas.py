"""Tools of every painting: coordinates, smooth noise, color ramps, raking light, antialiasing.

Lengths are in units of the short side, so a composition keeps its shape at every size:
x runs over 0 … 1.25 and y over 0 … 1, downwards. Colors are sRGB in 0 … 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.floating[Any]]
Noise: TypeAlias = Callable[[Floats, Floats], Floats]

ASPECT = 1.25
_WORKING_PX = 1024  # Small pictures are drawn at about this size, then reduced.


def _supersampling(size_px: int) -> int:
    """Return the number of working pixels for one output pixel along each axis, 2 … 4."""
    return min(4, max(2, math.ceil(_WORKING_PX / size_px)))


def grid(size_px: int) -> tuple[Floats, Floats]:
    """Return the centers of the working pixels as x and y, each (H, W), multiples of the supersampling."""
    factor = _supersampling(size_px)
    height, width = round(size_px / ASPECT) * factor, size_px * factor
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return (x + np.float32(0.5)) / np.float32(height), (y + np.float32(0.5)) / np.float32(height)


def make_noise(rng: np.random.Generator, octaves: int = 1) -> Noise:
    """Return a smooth random function of (x, y), about -1 … 1, with its coarsest bumps one unit apart."""
    lattices = rng.uniform(-1, 1, (octaves, 64, 64)).astype(np.float32)
    turns = rng.uniform(0, 2 * math.pi, octaves)
    shifts = rng.uniform(0, 64, (octaves, 2)).astype(np.float32)

    def at(x: Floats, y: Floats) -> Floats:
        total = np.zeros(np.broadcast(x, y).shape, np.float32)
        for octave, (lattice, turn, shift) in enumerate(zip(lattices, turns, shifts, strict=True)):
            c, s = 2**octave * math.cos(turn), 2**octave * math.sin(turn)
            total += _value_noise(lattice, x * c - y * s + shift[0], x * s + y * c + shift[1]) / 2**octave
        return total * np.float32(1.2 / (2 - 2 ** (1 - octaves)))

    return at


def _value_noise(lattice: Floats, x: Floats, y: Floats) -> Floats:
    """Interpolate the repeated 64 x 64 `lattice` with a quintic polynomial."""
    x0, y0 = np.floor(x), np.floor(y)
    u, v = x - x0, y - y0
    u, v = (t * t * t * (t * (t * 6 - 15) + 10) for t in (u, v))
    i, j = x0.astype(np.int32) & 63, y0.astype(np.int32) & 63
    i1, j1 = (i + 1) & 63, (j + 1) & 63
    top = lattice[j, i] * (1 - u) + lattice[j, i1] * u
    bottom = lattice[j1, i] * (1 - u) + lattice[j1, i1] * u
    return np.asarray(top * (1 - v) + bottom * v, dtype=np.float32)


def smoothstep(low: float, high: float, x: Floats) -> Floats:
    """Rise from 0 at `low` to 1 at `high` along an S curve; falls if `low` is the larger one."""
    t: Floats = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def parse_colors(*codes: str) -> Floats:
    """Convert colors such as "#1f4aa8" to an (N, 3) array."""
    return np.array([list(bytes.fromhex(code[1:])) for code in codes], np.float32) / 255


def ramp(colors: Floats, at: ArrayLike) -> Floats:
    """Interpolate evenly spaced `colors` (N, 3) at positions 0 … 1; returns the shape of `at` plus 3."""
    t = np.clip(np.asarray(at, np.float32), 0, 1) * (len(colors) - 1)
    low = np.minimum(t.astype(np.int32), len(colors) - 2)
    part = (t - low)[..., None]
    return np.asarray(colors[low] * (1 - part) + colors[low + 1] * part, dtype=np.float32)


def finish(picture: Floats, relief: Floats, size_px: int, *, strength: float, gloss: float = 0.0) -> NDArray[np.uint8]:
    """Light a picture from the upper left and reduce it to bytes (H, W, 3), with W = `size_px`.

    picture: working pixels (h, w, 3), which are averaged; relief: the height of each (h, w); strength: of the
    shading; gloss: of the highlights.
    """
    dy, dx = np.gradient(relief)
    facing = np.tanh((dx * 0.6 + dy * 0.8) * (len(relief) * strength)).astype(np.float32)
    shine = gloss * np.clip(facing - 0.35, 0, 1) ** 2
    light = picture * (1 + 0.38 * facing)[..., None] + shine[..., None]
    light = np.clip(light, 0, 1) ** np.float32(2.2)
    factor = _supersampling(size_px)
    light = light.reshape(len(relief) // factor, factor, size_px, factor, 3).mean(axis=(1, 3))
    return np.asarray(np.rint(light ** np.float32(1 / 2.2) * 255), dtype=np.uint8)
