"""A red sun over hills and an agave, in six flat colors, as on a poster."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from impasto.samples.canvas import finish, grid, make_noise, parse_colors

_PAPER, _SUN, _LEAF = parse_colors("#efe3c2", "#d8412f", "#17212b")
_HILLS = parse_colors("#e9b044", "#2f7f79", "#1f3f73")
_LEAVES, _LEAF_LENGTH, _LEAF_WIDTH = 9, 0.27, 0.075


def draw(size_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw the picture, `size_px` wide."""
    x, y = grid(size_px)
    slope = make_noise(rng)
    sun_x, sun_y = rng.uniform((0.78, 0.26), (0.95, 0.34))
    foot_x, foot_y = rng.uniform((0.25, 0.6), (0.4, 0.64))
    picture = np.zeros((*x.shape, 3), np.float32) + _PAPER
    picture[np.hypot(x - sun_x, y - sun_y) < 0.2] = _SUN
    for number, color in enumerate(_HILLS):
        crest = 0.6 + 0.12 * number + 0.14 * slope(x * 2, np.full_like(x, 5 * number))
        picture[y > crest] = color
    for angle in np.linspace(-0.95, -0.05, _LEAVES) * math.pi + rng.normal(0, 0.06, _LEAVES):
        along = ((x - foot_x) * math.cos(angle) + (y - foot_y) * math.sin(angle)) / _LEAF_LENGTH
        across = (y - foot_y) * math.cos(angle) - (x - foot_x) * math.sin(angle)
        picture[np.abs(across) < _LEAF_WIDTH / 2 * np.sin(np.clip(along, 0, 1) * math.pi)] = _LEAF
    return finish(picture, np.zeros_like(x), size_px, strength=0)
