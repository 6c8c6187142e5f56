"""A sun over the sea, in glass tiles set along the lines of the design."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from impasto.samples.canvas import ASPECT, Floats, Noise, finish, grid, make_noise, parse_colors, ramp, smoothstep

_TILES, _ROUNDS, _DRAFT_PX = 2300, 9, 205
_NEAR = 16  # Number of candidate tiles in each block of the canvas.
_SUN = parse_colors("#fbf0c9", "#f3cf62", "#e5a52e", "#d4702a", "#b23f2b")
_RAYS = parse_colors("#e9b53f", "#cf6a2c", "#f4e3b5", "#2f9a9b", "#f0c05a", "#a93a35")
_SKY = parse_colors("#8fcabf", "#3a94a8", "#2a62a6", "#1f3a86", "#1a2358")
_SEA = parse_colors("#141d4f", "#1d4489", "#1f7f98", "#54b7a8", "#c9e4cd", "#fbf3dc")
_LEAD = parse_colors("#1d1a20")[0]


def draw(size_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw the picture, `size_px` wide."""
    x, y = grid(size_px)
    sun = np.array([rng.uniform(0.4, 0.85), rng.uniform(0.3, 0.4)])
    swell = make_noise(rng, 2)
    tiles = rng.uniform(0, (ASPECT, 1), (_TILES, 2)).astype(np.float32)
    draft = (_DRAFT_PX, round(_DRAFT_PX * ASPECT))
    for _ in range(_ROUNDS):
        owner, _, _ = _nearest(draft, tiles, _across(tiles, sun, swell), 24)
        tiles = _centroids(owner, tiles)
    across = _across(tiles, sun, swell)
    owner, first, second = _nearest(x.shape, tiles, across, 48)
    color = _design(tiles, sun, swell)
    color = color * rng.normal(1, 0.07, (_TILES, 1)) + rng.normal(0, 0.02, (_TILES, 3))
    color = color.astype(np.float32)
    color[rng.random(_TILES) < 0.02] = _SUN[1]
    gap = (second - first) / 2 + 0.0006 * swell(x * 60, y * 60)
    glass = smoothstep(0.0012, 0.0022, gap)[..., None]
    streak = 1 + 0.05 * swell(x * 40, y * 90) + 0.04 * swell(x * 9, y * 9)
    picture = color[owner] * streak[..., None] * glass + _LEAD * (1 - glass)
    tilt = rng.normal(0, 0.12, (2, _TILES)).astype(np.float32)[:, owner]
    tilted = tilt[0] * (x - tiles[owner, 0]) + tilt[1] * (y - tiles[owner, 1])
    relief = 0.0035 * smoothstep(0, 0.006, gap) + tilted * glass[..., 0]
    return finish(picture, relief, size_px, strength=0.7, gloss=0.25)


def _nearest(
    shape: tuple[int, ...], tiles: Floats, across: Floats, blocks: int
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return the nearest tile of each pixel, its distance, and that of the second nearest (all of `shape`).

    The distance is between a circle's and that of a square aligned with `across`, a unit vector for each tile (N, 2).
    Only tiles near a pixel's block are compared; the short side has `blocks` of them.
    """
    y, x = ((np.arange(n, dtype=np.float32) + 0.5) / np.float32(shape[0]) for n in shape)
    row, column = (y * blocks).astype(np.int32), (x * blocks).astype(np.int32)
    by, bx = ((np.arange(last + 1, dtype=np.float32) + 0.5) / blocks for last in (row[-1], column[-1]))
    apart = np.hypot(by[:, None, None] - tiles[:, 1], bx[:, None] - tiles[:, 0])
    candidates = np.argpartition(apart, _NEAR, axis=-1)[..., :_NEAR]
    owner = np.zeros(shape, np.int64)
    first, second = np.full(shape, 9, np.float32), np.full(shape, 9, np.float32)
    cos, sin = across[:, 0], across[:, 1]
    for near in candidates.transpose(2, 0, 1):
        tile = near[row][:, column]
        ox, oy = x - tiles[tile, 0], y[:, None] - tiles[tile, 1]
        c, s = cos[tile], sin[tile]
        u, v = (ox * c + oy * s) ** 2, (oy * c - ox * s) ** 2 * np.float32(0.64)
        away = np.sqrt(np.sqrt(u * u + v * v))
        second = np.minimum(second, np.maximum(first, away))
        owner = np.where(away < first, tile, owner)
        first = np.minimum(first, away)
    return owner, first, second


def _centroids(owner: NDArray[np.int64], tiles: Floats) -> Floats:
    """Return the center of each tile's pixels (N, 2); a tile without pixels keeps its place."""
    height, width = owner.shape
    size = np.bincount(owner.ravel(), minlength=len(tiles))
    y, x = (np.mgrid[0:height, 0:width] + 0.5) / height
    sums = [np.bincount(owner.ravel(), axis.ravel(), len(tiles)) for axis in (x, y)]
    middle = np.stack(sums, axis=-1) / np.maximum(size, 1)[:, None]
    return np.where(size[:, None] > 0, middle, tiles).astype(np.float32)


def _depth(x: Floats, y: Floats, swell: Noise) -> Floats:
    """Return the depth below the wavy water line, negative above it."""
    wave = 0.035 * np.sin(x * 9 + 3 * swell(x, np.zeros_like(x))) + 0.03 * swell(x * 2, y * 2)
    return np.asarray(y - 0.62 - wave, dtype=np.float32)


def _across(tiles: Floats, sun: Floats, swell: Noise) -> Floats:
    """Return the unit vector across the rows of the design at each tile (N, 2)."""
    x, y = tiles[:, 0], tiles[:, 1]
    h = np.float32(5e-3)
    right = _depth(x + h, y, swell) - _depth(x - h, y, swell)
    down = _depth(x, y + h, swell) - _depth(x, y - h, swell)
    slope = np.stack([right, down], axis=-1)
    way = np.where(_depth(x, y, swell)[:, None] > 0, slope, tiles - sun)
    return (way / np.maximum(np.hypot(way[:, :1], way[:, 1:]), 1e-9)).astype(np.float32)


def _design(tiles: Floats, sun: Floats, swell: Noise) -> Floats:
    """Return the color of each tile (N, 3)."""
    x, y = tiles[:, 0], tiles[:, 1]
    away = np.hypot(x - sun[0], y - sun[1])
    angle = np.arctan2(y - sun[1], x - sun[0])
    sky = ramp(_SKY, (away - 0.16) / 0.7 + 0.12 * np.sin(away * 44) + 0.16 * swell(x * 4, y * 4))
    ray = np.floor((angle / math.pi + 1) * 12).astype(np.int32)
    length = np.where(ray % 2, 0.30, 0.44) + 0.05 * np.sin(ray * 2.4)
    tip = np.abs((angle / math.pi + 1) * 12 % 1 - 0.5) * 2
    rays = _RAYS[ray % len(_RAYS)]
    color = np.where(((away < length - 0.22 * tip**1.5) & (away > 0.15))[:, None], rays, sky)
    color = np.where((away < 0.15)[:, None], ramp(_SUN, (away / 0.15) ** 1.5), color)
    depth = _depth(x, y, swell)
    crest = 0.5 + 0.5 * np.cos(depth * 46)
    sea = 0.12 + 0.62 * crest**1.6 + 0.18 * swell(x * 5, y * 9)
    sea += 0.45 * smoothstep(0.03, 0, depth)
    color = np.where((depth > 0)[:, None], ramp(_SEA, sea), color)
    lane = (depth > 0) & (np.abs(x - sun[0]) < 0.05 + 0.25 * depth)
    glint = lane & (crest > 0.5) & (np.sin(x * 95 + y * 61) > 0)
    color = np.where(glint[:, None], ramp(_SUN, 0.3 + 1.2 * depth), color)
    return np.asarray(color, dtype=np.float32)
