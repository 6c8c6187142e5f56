"""A windy night over fields, in thick strokes of oil."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from impasto.samples.brush import Flow, cover, follow, sample_bristles
from impasto.samples.canvas import ASPECT, Floats, Noise, finish, grid, make_noise, parse_colors, ramp, smoothstep

_SKY = parse_colors("#0c1440", "#172a78", "#2148a8", "#2f74bf", "#55a3c8", "#97cdbf", "#e6e2b0", "#f7d055", "#ef9a2a")
_LAND = parse_colors("#1b1f57", "#1f4a78", "#1c5a50", "#5c8a3c", "#d9a832", "#f3d77c", "#cf8a2e", "#2f6a45")
_TREE = parse_colors("#0b1a1c", "#123026", "#24502f", "#5a6a2c", "#9a5a2a")
_ACCENTS = parse_colors("#c7462c", "#e58f6a", "#6b4b97", "#f3e7c4")
_RADII = np.array([0.2, 0.14, 0.12, 0.07, 0.06, 0.055, 0.05, 0.05], np.float32)


@dataclass(frozen=True)
class _Layer:
    """Strokes of one size: their number, length and width, and the scatter of their tones."""

    count: int
    length: float
    width: float
    scatter: float


_LAYERS = (
    _Layer(340, 0.30, 0.050, 0.03),
    _Layer(700, 0.20, 0.027, 0.06),
    _Layer(1500, 0.13, 0.017, 0.08),
    _Layer(1100, 0.08, 0.011, 0.11),
)


@dataclass(frozen=True)
class _Scene:
    """The places of the stars (N, 2), and the noise of the wind and of the horizon."""

    centers: Floats
    wander: Noise
    ridge: Noise


def draw(size_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw the picture, `size_px` wide."""
    relief = np.zeros_like(grid(size_px)[0])
    color = np.zeros((*relief.shape, 3), np.float32) + _SKY[1]
    scene = _Scene(_place_stars(rng), make_noise(rng, 2), make_noise(rng, 2))
    flow = _flow(scene)
    for layer in _LAYERS:
        middles = rng.uniform(-0.1, (ASPECT + 0.1, 1.1), (layer.count, 2)).astype(np.float32)
        middles[-64:] = np.repeat(scene.centers, 8, axis=0) + rng.normal(0, 0.006, (64, 2))
        _add_strokes(color, relief, layer, follow(flow, middles, layer.length, 12), scene, rng)
    return finish(color, relief, size_px, strength=1.4, gloss=0.3)


def _add_strokes(
    color: Floats, relief: Floats, layer: _Layer, paths: Floats, scene: _Scene, rng: np.random.Generator
) -> None:
    """Add strokes to the canvas (H, W): partly mixed paint, with ridges along the edges."""
    count, width = layer.count, layer.width
    swell = np.sin(np.linspace(0, 1, 25) ** 0.7 * math.pi) ** 0.4
    half = (width / 2 * swell * rng.uniform(0.7, 1.15, (count, 1))).astype(np.float32)
    hairs = max(5, round(width / 0.0022))
    ragged = (1 - rng.uniform(0, 0.3, (count, hairs)) ** 1.5).astype(np.float32)
    marks = cover(relief.shape, paths, half, ragged=ragged)
    first, second = (_paint(paths[:, 12], scene, rng, layer.scatter * times) for times in (1, 2))
    table = rng.uniform(0, 1, (count, 1, hairs)) + rng.normal(0, 0.15, (count, 6, hairs))
    streak = sample_bristles(table.astype(np.float32), marks)
    mix = np.clip(streak * 1.6 - 0.8, 0, 1)[:, None] * 0.7
    paint = first.take(marks.stroke, axis=0) * (1 - mix) + second.take(marks.stroke, axis=0) * mix
    paint *= (0.92 + 0.16 * streak)[:, None]
    load = np.clip(1.15 - 0.5 * marks.along + 0.4 * (streak - 0.5), 0.5, 1)[:, None]
    flat, height = color.reshape(-1, 3), relief.reshape(-1)
    before = flat.take(marks.pixel, axis=0)
    flat[marks.pixel] = before + (paint - before) * load
    edge = marks.across**2
    body = (1 - edge**3) * (0.6 + 0.5 * edge) * (1.1 - 0.4 * marks.along)
    rise = width * 0.10 * body + 0.0016 * (streak - 0.5)
    height[marks.pixel] = 0.3 * height[marks.pixel] + rise


def _place_stars(rng: np.random.Generator) -> Floats:
    """Return places (N, 2) in the sky for stars of `_RADII`, far from each other."""
    placed = np.empty((0, 2))
    for index, radius in enumerate(_RADII):
        tries = rng.uniform((0.36, 0.1), (ASPECT - 0.12, 0.58), (64, 2))
        gaps = np.hypot(*(tries[:, None] - placed).transpose(2, 0, 1)) - _RADII[:index]
        room = gaps.min(axis=1, initial=radius * 1.4)
        placed = np.vstack([placed, tries[np.argmax(room)]])
    return placed.astype(np.float32)


def _flow(scene: _Scene) -> Flow:
    """Return the unit vectors of a field: wind with vortices above, slopes of the land, a tree upwards."""
    centers, wander, ridge = scene.centers, scene.wander, scene.ridge
    turns = np.where(np.arange(len(centers)) % 2, -1, 1).astype(np.float32)

    def drift(x: Floats, y: Floats) -> Floats:
        return 0.45 * y + 0.12 * wander(x * 2.2, y * 2.2)

    peaks = drift(centers[:, 0], centers[:, 1]) + 1.5 * turns * _RADII

    def stream(x: Floats, y: Floats) -> Floats:
        wind = drift(x, y)
        for (cx, cy), radius, peak in zip(centers, _RADII, peaks, strict=True):
            near = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (1.1 * radius**2))
            wind = wind + (peak - wind) * near
        below = _below(x, y, ridge)
        land = below * 1.2 + 0.14 * wander(x * 2.5, y * 4)
        tree = 0.8 * x + 0.02 * wander(x * 6, y * 6)
        wind += (land - wind) * smoothstep(-0.01, 0.02, below)
        wind += (tree - wind) * smoothstep(-0.02, 0.005, _inside_tree(x, y, ridge))
        return np.asarray(wind, dtype=np.float32)

    edge, step = 0.4, 1 / 240  # Margin and spacing of the table.
    y, x = np.mgrid[-edge : 1 + edge : step, -edge : ASPECT + edge : step].astype(np.float32)
    down, right = np.gradient(stream(x, y))
    table = np.stack([down, -right], axis=-1)
    last = np.array(table.shape[1::-1], np.int32) - 2

    def flow(points: Floats) -> Floats:
        at = (points + edge) / step
        i, j = np.moveaxis(np.clip(at.astype(np.int32), 0, last), -1, 0)
        u, v = np.moveaxis(at - np.floor(at), -1, 0)[..., None]
        upper = table[j, i] * (1 - u) + table[j, i + 1] * u
        lower = table[j + 1, i] * (1 - u) + table[j + 1, i + 1] * u
        way = upper * (1 - v) + lower * v
        size = np.hypot(way[..., :1], way[..., 1:])
        return np.asarray(way / np.maximum(size, 1e-9), dtype=np.float32)

    return flow


def _below(x: Floats, y: Floats, ridge: Noise) -> Floats:
    """Return the distance below the horizon, negative in the sky."""
    return y - 0.74 - 0.09 * ridge(x * 1.6, np.zeros_like(x))


def _inside_tree(x: Floats, y: Floats, ridge: Noise) -> Floats:
    """Return the depth inside the tree at the left, negative outside."""
    down = np.maximum(y - 0.15, 0)
    lean = 0.035 * ridge(y * 3, np.full_like(y, 5)) * smoothstep(0, 0.3, down)
    half = 0.085 * down**0.75 * (1 + 0.3 * ridge(y * 9, np.full_like(y, 9)))
    half += np.minimum(y - 0.15, 0)
    return np.asarray(half - np.abs(x - 0.17 - lean), dtype=np.float32)


def _paint(at: Floats, scene: _Scene, rng: np.random.Generator, scatter: float) -> Floats:
    """Return a color for each place (N, 2): the scene's tone, scattered, and a few accents."""
    wander, ridge = scene.wander, scene.ridge
    x, y = at[:, 0], at[:, 1]
    tone = 0.10 + 0.28 * y + 0.16 * wander(x * 3, y * 3)
    for (cx, cy), radius in zip(scene.centers, _RADII, strict=True):
        away = np.hypot(x - cx, y - cy) / radius
        angle = np.arctan2(y - cy, x - cx)
        tone += 0.8 * np.exp(-((away / 0.5) ** 2)) + 0.22 * np.exp(-(away**2) / 1.6)
        tone += 0.13 * np.sin(away * 6 + angle) * np.exp(-((away - 1) ** 2) * 1.5)
    below = _below(x, y, ridge)
    land = 2.6 * below + 0.2 * wander(x * 2.5, y * 4) + 0.12 * wander(x * 7, y * 12)
    jitter = rng.normal(0, scatter, len(at)).astype(np.float32)
    color = ramp(_SKY, np.minimum(tone, 0.93) + jitter)
    color = np.where((below > 0)[:, None], ramp(_LAND, land + jitter * 1.5), color)
    accent = rng.random(len(at)) < 0.4 * (scatter - 0.05)
    color[accent] = _ACCENTS[rng.integers(0, len(_ACCENTS), int(accent.sum()))]
    tree = _inside_tree(x, y, ridge)
    bark = ramp(_TREE, rng.beta(1.3, 3, len(at)) + 0.1 * (x - 0.17) / 0.08)
    return np.where((tree > 0)[:, None], bark, color).astype(np.float32)
