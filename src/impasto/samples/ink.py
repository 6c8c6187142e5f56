"""Mountains in mist and a stand of bamboo, in ink on paper."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from impasto.samples.brush import cover, sample_bristles
from impasto.samples.canvas import ASPECT, Floats, Noise, finish, grid, make_noise, parse_colors, smoothstep

_PAPER = parse_colors("#f1ead9")[0]
_SEAL = parse_colors("#b3291e")[0]
# Light that one unit of pigment absorbs in each channel: blue-gray wash, black ink.
_WASH = np.array([1.3, 1.0, 0.7], np.float32)
_INK = np.array([1.12, 1.0, 0.9], np.float32)
# From far to near: position, height and darkness of a ridge.
_RIDGES = ((0.34, 0.16, 0.22), (0.47, 0.2, 0.38), (0.62, 0.17, 0.6), (0.8, 0.13, 0.85), (0.97, 0.08, 1.1))
# Foot and top along x, width, darkness; then place, darkness and number of twigs.
_STEMS = ((1.12, 1.06, 0.03, 0.9), (0.99, 1.09, 0.022, 1.5), (1.19, 1.2, 0.014, 2.0))
_SPRAYS = ((0.93, 0.1, 0.8, 3), (1.15, 0.28, 2.0, 3), (0.87, 0.33, 2.4, 4), (1.12, 0.58, 1.3, 2))


@dataclass(frozen=True)
class _Dip:
    """Strokes from one dip of the brush.

    paths: (N, M, 2); half_widths: (N, M); dark: the density of the ink; dry: how quickly it is used up.
    """

    paths: Floats
    half_widths: Floats
    dark: float
    dry: float


def draw(size_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw the picture, `size_px` wide."""
    x, y = grid(size_px)
    cloud, grain = _coarsen(make_noise(rng, 4)), _coarsen(make_noise(rng, 3))
    tooth = grain(x * 90, y * 90)
    fibers = grain(x * 25 + 9, y * 160) + grain(x * 160, y * 25)
    crests = [make_noise(rng, 4) for _ in _RIDGES]
    wash = _mountains(x, y, crests, cloud) * (1 + 0.28 * tooth)
    wash += 0.06 * smoothstep(-0.2, 0.9, cloud(x * 1.5, y * 1.5))
    strokes = np.zeros_like(x)
    for dip in _dips(crests, rng):
        _draw(strokes, dip, tooth, rng)
    paper = _PAPER * (1 + 0.012 * fibers + 0.02 * cloud(x * 2 + 5, y * 2))[..., None]
    light = np.exp(-np.maximum(wash, 0)[..., None] * _WASH - strokes[..., None] * _INK)
    seal = _seal(x, y, tooth)[..., None]
    picture = paper * light * (1 - seal) + _SEAL * seal
    relief = 0.00035 * tooth + 0.00025 * fibers
    return finish(picture, relief, size_px, strength=0.5)


def _coarsen(fine: Noise) -> Noise:
    """Compute noise at every second pixel of a grid only, and repeat it: faster."""

    def at(x: Floats, y: Floats) -> Floats:
        coarse = fine(x[::2, ::2], y[::2, ::2])
        return coarse.repeat(2, axis=0).repeat(2, axis=1)[: x.shape[0], : x.shape[1]]

    return at


def _crest(x: Floats, index: int, crests: list[Noise]) -> Floats:
    """Return the height y of a ridge at x."""
    base, high, _ = _RIDGES[index]
    return base - high * (0.3 + crests[index](x * (1.6 + 0.4 * index), np.zeros_like(x)))


def _mountains(x: Floats, y: Floats, crests: list[Noise], cloud: Noise) -> Floats:
    """Compute the density of the washes (H, W): ridge behind ridge, each fading downwards into mist."""
    density = np.zeros_like(x)
    bleed = 0.016 * cloud(x * 7, y * 7)
    for index, (_, _, dark) in enumerate(_RIDGES):
        below = y - _crest(x[:1], index, crests) + bleed
        soft = 0.004 + 0.05 * smoothstep(0, 0.9, cloud(x * 2.2 + 9 * index, y * 2.2))
        body = smoothstep(0, 1, below / soft)
        fade = np.exp(-np.maximum(below, 0) / (0.10 + 0.03 * index)) + 0.06
        rim = 0.35 * np.exp(-(((below - 0.006) / 0.006) ** 2)) * (soft < 0.02)
        bloom = 1 + 0.5 * cloud(x * 5 + 9 * index, y * 5) + 0.25 * cloud(x * 16, y * 7 + 9 * index)
        density = density * (1 - 0.55 * body) + dark * body * fade * (np.maximum(bloom, 0.2) + rim)
    return np.asarray(density, dtype=np.float32)


def _dips(crests: list[Noise], rng: np.random.Generator) -> Iterator[_Dip]:
    """Yield everything that is drawn with the point of the brush."""
    for index in (2, 3, 4):
        yield from _rocks(index, crests, rng)
    for stem in _STEMS:
        yield from _stem(*stem, rng)
    yield from _sprays(rng)


def _rocks(index: int, crests: list[Noise], rng: np.random.Generator) -> Iterator[_Dip]:
    """Yield dry strokes down the slopes of one ridge, and dots of moss along its crest."""
    dark, t = 0.4 + 0.25 * _RIDGES[index][2], np.linspace(0, 1, 12)
    x = _clusters(rng, 3, 22, 0.05)
    y = _crest(x, index, crests) + 0.012 + rng.exponential(0.035, x.size)
    slope = _crest(x + 0.02, index, crests) - _crest(x - 0.02, index, crests)
    lean = np.sign(slope)[:, None] * (0.25 * t + 0.15 * t**2) * rng.uniform(0.3, 1.3, (x.size, 1))
    reach = rng.uniform(0.05, 0.13, (x.size, 1))
    paths = np.stack([x[:, None] + lean * reach, y[:, None] + t * reach], axis=-1)
    yield _Dip(paths, reach * 0.11 * (1 - t) ** 0.4 * np.sin(t * 2 + 0.3), dark * 0.7, 1.7)
    x = _clusters(rng, 4, 14, 0.03)
    size = rng.uniform(0.002, 0.0065, (x.size, 1))
    y = _crest(x, index, crests) + rng.normal(0, 0.006, x.size)
    paths = np.stack([x[:, None] + 2.6 * size * t, y[:, None] + 0.6 * size * t], axis=-1)
    yield _Dip(paths, size * _round_profile(t), dark * 2.2, 0.2)


def _clusters(rng: np.random.Generator, count: int, each: int, spread: float) -> Floats:
    """Return positions along x in clusters."""
    return rng.normal(rng.uniform(0, ASPECT, (count, 1)), spread, (count, each)).ravel().astype("f4")


def _round_profile(t: Floats) -> Floats:
    """Return the width of a stroke along 0 … 1, round at both ends."""
    return np.asarray(np.sqrt(1.01 - (2 * t - 1) ** 2))


def _stem(foot: float, top: float, width: float, dark: float, rng: np.random.Generator) -> Iterator[_Dip]:
    """Yield one bamboo stem, joint by joint, and the lines across the joints."""
    joints = 1.05 - np.cumsum(np.append(0, rng.uniform(0.12, 0.2, 9)))[:, None]
    t = np.linspace(0, 1, 16)
    y = joints[:-1] - 0.006 + (np.diff(joints, axis=0) + 0.012) * t
    x = foot + (top - foot) * (1 - y) + 0.01 * np.sin(y * 5 + foot * 9)
    half = np.broadcast_to(width / 2 * (0.88 + 0.24 * (2 * t - 1) ** 4), x.shape)
    yield _Dip(np.stack([x, y], axis=-1), half, dark, 0.6)
    side = 2 * t - 1
    ring = np.stack([x[:, -1:] + width * 0.62 * side, y[:, -1:] + 0.004 * side**2], axis=-1)
    yield _Dip(ring, np.broadcast_to(0.0026 * _round_profile(t), x.shape), 1.6, 0.2)


def _sprays(rng: np.random.Generator) -> Iterator[_Dip]:
    """Yield twigs away from the stems, and pointed leaves that fan out downwards from their ends."""
    t = np.linspace(0, 1, 20)
    for x, y, dark, count in _SPRAYS:
        nodes = (x, y) + rng.normal(0, 1, (count, 2)) * (0.075, 0.045)
        root_y = nodes[:, 1:] + rng.uniform(0.08, 0.12, (count, 1))
        root_x = _STEMS[1][0] + (_STEMS[1][1] - _STEMS[1][0]) * (1 - root_y)
        twig_x = root_x + (nodes[:, :1] - root_x) * t
        twig_y = root_y + (nodes[:, 1:] - root_y) * t - 0.06 * t * (1 - t)
        twigs = np.stack([twig_x, twig_y], axis=-1)
        yield _Dip(twigs, np.broadcast_to(0.002 * _round_profile(t), twig_x.shape), dark * 0.8, 0.3)
        fan = np.tile([-0.26, -0.06, 0.1, 0.3], count)[:, None]
        turn = math.pi * (0.5 + fan + rng.normal(0, 0.06, fan.shape)) - fan * 1.2 * t
        length = rng.uniform(0.09, 0.19, fan.shape)
        steps = np.stack([np.cos(turn), np.sin(turn)], axis=-1) * (length / 19)[..., None]
        half = length * 0.075 * np.sin(math.pi * t**0.62) ** 1.2 * (1 - t**6)
        half *= rng.uniform(0.7, 1.2, fan.shape)
        yield _Dip(nodes.repeat(4, axis=0)[:, None] + np.cumsum(steps, axis=1), half, dark, 0.35)


def _draw(density: Floats, dip: _Dip, tooth: Floats, rng: np.random.Generator) -> None:
    """Add strokes to `density` (H, W): dense and wet at first, then streaked by the paper."""
    paths, half = dip.paths.astype(np.float32), dip.half_widths.astype(np.float32)
    marks = cover(density.shape, paths, half)
    table = rng.normal(0, 1, (len(paths), 4, 14)) + rng.normal(0, 1, (len(paths), 1, 14))
    streak = sample_bristles(table.astype(np.float32), marks) + 0.8 * tooth.ravel()[marks.pixel]
    load = rng.uniform(0.6, 1.1, len(paths))[marks.stroke] - dip.dry * (marks.along + 0.25 * streak)
    shade = dip.dark * (0.35 + 0.65 * np.clip(load + 0.35, 0, 1)) * (0.9 + 0.25 * marks.across**4)
    shade *= smoothstep(-0.1, 0.05, load + 0.25)
    flat = density.reshape(-1)
    flat[marks.pixel] = np.maximum(flat[marks.pixel] * 0.85, shade)


def _seal(x: Floats, y: Floats, tooth: Floats) -> Floats:
    """Return the opacity of the red seal at the lower left, (H, W) in 0 … 1."""
    u, v = (x - 0.1) / 0.032, (y - 0.87) / 0.038
    edge = np.maximum(np.abs(u), np.abs(v)) + 0.03 * tooth
    sign = np.minimum(np.abs(np.abs(u) - 0.42), np.abs(np.abs(v - 0.05) - 0.38)) + 0.03 * tooth
    cut = smoothstep(0.11, 0.06, sign) * smoothstep(0.82, 0.74, edge)
    return smoothstep(1.02, 0.97, edge) * (1 - cut) * (0.88 + 0.1 * tooth)
