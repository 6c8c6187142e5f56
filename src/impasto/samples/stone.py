"""A cracked wall of layered rock, as in a photo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from impasto.samples.canvas import finish, grid, make_noise, parse_colors, ramp, smoothstep

_ROCK = parse_colors("#2d2a28", "#5c534b", "#8a7c6b", "#ab9b83", "#cdc1aa", "#ece6d8")


def draw(size_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw the picture, `size_px` wide."""
    x, y = grid(size_px)
    bend, layer, grain, crack = (make_noise(rng, octaves) for octaves in (3, 5, 5, 5))
    layers = layer(x * 1.5, (y + 0.1 * bend(x * 2, y * 2)) * 11)
    grains = grain(x * 26, y * 26)
    # Cracks are where a phase passes a whole number: wandering lines that do not close, as lines of zero noise do.
    phase = 1.7 * x - 0.5 * y + 0.45 * crack(x * 2.5, y * 2.5)
    cracks = smoothstep(0.035, 0.008, np.abs(phase - np.rint(phase)) / (0.5 + 1.2 * crack(x * 3 + 20, y * 3) ** 2))
    color = ramp(_ROCK, 0.5 + 0.42 * layers + 0.16 * grains) * (1 - 0.7 * cracks)[..., None]
    relief = 0.012 * layers + 0.005 * grains - 0.012 * cracks
    return finish(color, relief, size_px, strength=1.1)
