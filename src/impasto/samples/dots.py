"""A bay at sundown, in dots of unmixed paint."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from impasto.samples.brush import cover
from impasto.samples.canvas import ASPECT, Floats, Noise, finish, grid, make_noise, parse_colors, ramp, smoothstep

_SKY = parse_colors("#33489e", "#5f78c6", "#b79bca", "#f0a79a", "#f8b85c", "#fdeeb0")
_WATER = parse_colors("#1f3f8c", "#2f6fae", "#5aa5b8", "#9fb4cc", "#f3b37e", "#fff0b8")
_HILLS = parse_colors("#39418f", "#7561a8", "#c27f9d")
_GRASS = parse_colors("#173a52", "#1f6a54", "#6da23f", "#d8c545", "#f2e38a")
_TRUNK = parse_colors("#3a2450", "#7a3f55", "#c9743f")
_SAIL = parse_colors("#c98fb0", "#fbe0b8", "#fffaf0")
_PINE = parse_colors("#14264f", "#16504f", "#3c8045", "#a3b046")
_GROUND = parse_colors("#d9bfa8")[0]
# From large to small: radius, distance between neighbors in radii.
_LAYERS = ((0.0150, 1.4), (0.0105, 1.85), (0.0074, 2.2))
_HORIZON = 0.52


def draw(size_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw the picture, `size_px` wide."""
    height, width = grid(size_px)[0].shape
    color = np.zeros((height * width, 3), np.float32) + _GROUND
    relief = np.zeros(height * width, np.float32)
    sun_x = rng.uniform(0.6, 0.95)
    bumps = make_noise(rng, 3)
    turn = np.linspace(-1, 1, 9, dtype=np.float32)
    for radius, spacing in _LAYERS:
        centers = _scatter(rng, radius * spacing)
        angle = rng.normal(0, 0.5, len(centers))
        reach = radius * rng.uniform(0.75, 1.2, len(centers))
        axis = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * (reach * 1.12)[:, None]
        paths = centers[:, None] + turn[:, None] * axis[:, None]
        half = np.sqrt(1 - turn**2) * reach[:, None]
        marks = cover((height, width), paths.astype(np.float32), half.astype(np.float32))
        paint = _split_colors(_scene(centers[:, 0], centers[:, 1], sun_x, bumps), rng)
        color[marks.pixel] = paint[marks.stroke]
        out = (2 * marks.along - 1) ** 2
        out = out + marks.across**2 * (1 - out)
        relief[marks.pixel] = 0.15 * relief[marks.pixel] + radius * 0.3 * (1 - out**3)
    picture, relief = color.reshape(height, width, 3), relief.reshape(height, width)
    return finish(picture, relief, size_px, strength=0.4)


def _scatter(rng: np.random.Generator, step: float) -> Floats:
    """Return places (N, 2) about `step` apart all over the canvas, in random order."""
    y, x = np.mgrid[-step : 1 + step : step * 0.9, -step : ASPECT + step : step]
    x[1::2] += step / 2
    places: Floats = np.stack([x.ravel(), y.ravel()], axis=-1) + rng.normal(0, step * 0.24, (x.size, 2))
    return np.asarray(rng.permutation(places), dtype=np.float32)


def _split_colors(color: Floats, rng: np.random.Generator) -> Floats:
    """Separate colors (N, 3) into purer ones, which mix again at a distance."""
    gray = color.mean(axis=1, keepdims=True)
    vivid = gray + (color - gray) * rng.uniform(0.8, 1.5, (len(color), 1))
    vivid += rng.normal(0, 0.06, (len(color), 3)) + rng.normal(0, 0.05, (len(color), 1))
    opposite = rng.random(len(color)) < 0.1
    vivid[opposite] = (gray + (gray - color) * 0.5 + 0.04)[opposite]
    return np.asarray(np.clip(vivid, 0.03, 0.99), dtype=np.float32)


def _scene(x: Floats, y: Floats, sun_x: float, bumps: Noise) -> Floats:
    """Return the colors at these places: sky, hills, water with the sun in it, a bank, pines."""
    from_sun = np.hypot(x - sun_x, (y - _HORIZON + 0.13) * 1.1)
    sky = y / _HORIZON * 0.6 + 0.5 * np.exp(-((from_sun / 0.25) ** 2))
    sky += 0.22 * bumps(x * 1.6, y * 7) * smoothstep(0.06, 0.2, from_sun)
    sky += smoothstep(0.075, 0.06, from_sun)
    color = ramp(_SKY, sky)
    ripple = bumps(x * 5, y * 34)
    water = 0.62 - 0.75 * (y - _HORIZON) / (1 - _HORIZON) + 0.14 * ripple
    lane = 0.045 + 0.22 * (y - _HORIZON)
    sparkle = 0.56 + 0.38 * ripple + 0.3 * bumps(x * 9, y * 60)
    water += sparkle * np.exp(-(((x - sun_x) / lane) ** 2))
    color = _over(color, ramp(_WATER, water), y - _HORIZON)
    crest = _HORIZON - 0.08 - 0.09 * bumps(x * 1.7, np.full_like(x, 3)) + 0.09 * np.abs(x - sun_x)
    hill = ramp(_HILLS, 0.9 * np.exp(-np.abs(x - sun_x) * 3) + 0.25 * bumps(x * 6, y * 12))
    color = _over(color, hill, np.minimum(y - crest, _HORIZON + 0.004 - y))
    color = _add_boats(color, x, y, sun_x)
    bank = y - 0.86 - 0.1 * bumps(x * 1.2, np.full_like(x, 8)) + 0.12 * (0.6 - x)
    grass = 0.5 + 0.5 * bumps(x * 4, y * 9) + 0.7 * (bank - 0.08)
    color = _over(color, ramp(_GRASS, grass), bank)
    return _add_pines(color, x, y, bumps)


def _add_boats(color: Floats, x: Floats, y: Floats, sun_x: float) -> Floats:
    """Paint three sailing boats over `color` (N, 3)."""
    for mast, foot, size in ((-0.17, 0.6, 0.13), (0.22, 0.66, 0.19), (0.3, 0.56, 0.07)):
        up, side = (foot - y) / size, (x - sun_x - mast) / size
        sail = np.minimum(np.minimum(up, 0.3 * (1 - up) - np.abs(side - 0.08 * up)), 0.5)
        hull = np.minimum(np.minimum(-up, up + 0.13 - 0.3 * side**2), 0.45 - np.abs(side))
        color = _over(color, ramp(_SAIL, 0.5 + 1.6 * side + 0.3 * up), sail)
        color = _over(color, np.broadcast_to(_TRUNK[0], color.shape), hull)
    return color


def _add_pines(color: Floats, x: Floats, y: Floats, bumps: Noise) -> Floats:
    """Paint two pines over `color` (N, 3)."""
    for foot, cx, cy, size in ((0.12, 0.1, 0.24, 0.24), (0.2, 0.33, 0.4, 0.13)):
        at = np.clip((0.9 - y) / (0.9 - cy), 0, 1)
        middle = foot + (cx - foot) * at**1.5 + 0.02 * np.sin(at * math.pi * 2)
        side = (x - middle) / (0.08 * size + 0.004)
        trunk = np.where((y > cy) & (y < 0.9), 1 - np.abs(side), -1)
        color = _over(color, ramp(_TRUNK, 0.45 + 0.4 * side), trunk)
        crown = 1 - np.hypot((x - cx) / size, (y - cy) / (0.48 * size)) + 0.3 * bumps(x * 9, y * 11)
        light = 0.4 + 1.6 * (cy - y) / size + 0.6 * (x - cx) / size + 0.3 * bumps(x * 14, y * 18)
        color = _over(color, ramp(_PINE, light), crown)
    return color


def _over(below: Floats, above: Floats, inside: Floats) -> Floats:
    """Return `above` (N, 3) where `inside` (N,) is positive, `below` elsewhere."""
    return np.where(inside[:, None] > 0, above, below)
