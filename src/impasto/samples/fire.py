"""Flames in the dark, as in a photo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from impasto.samples.canvas import finish, grid, make_noise, parse_colors, ramp, smoothstep

_GLOW = parse_colors("#050203", "#1d0503", "#5c0f06", "#b02a08", "#ea6410", "#fba429", "#ffd968", "#fff7d0")


def draw(size_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw the picture, `size_px` wide."""
    x, y = grid(size_px)
    sway, flicker, flame = (make_noise(rng, 5) for _ in range(3))
    swaying = x + 0.1 * sway(x * 2.5, y * 1.6 + 2) + 0.03 * flicker(x * 7, y * 5)
    # A tongue is where noise crosses zero: a ridge, drawn out upwards.
    tongues = 0.9 * (1 - np.abs(flame(swaying * 4, y * 1.1))) ** 3
    tongues += 0.5 * (1 - np.abs(flicker(swaying * 9 + 5, y * 2.5))) ** 3
    heat = tongues * smoothstep(-0.15, 0.9, y + 0.35 * sway(x * 3, np.full_like(x, 9)))
    return finish(ramp(_GLOW, heat), np.zeros_like(x), size_px, strength=0)
