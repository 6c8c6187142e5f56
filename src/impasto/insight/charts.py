"""Curves over the steps of a run, as SVG: small, sharp at any size, and legible on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["chart"]

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 10, 26


def chart(curves: Mapping[str, Sequence[float]], *, label: str, marks: Sequence[tuple[int, str]] = ()) -> str:
    """An SVG of `curves` over their index, logarithmic; `marks` are places where something begins, with a word.

    Its parts have classes: a page gives them colors, `curve-0` to the first of `curves` and so on. Values that are
    not positive have no place on a logarithmic axis, and are left out.
    """
    values = [value for curve in curves.values() for value in curve if value > 0]
    if not values:
        return ""
    count = max(len(curve) for curve in curves.values())
    low, high = _decades(min(values), max(values))

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / max(count - 1, 1)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - math.log10(value)) / (high - low)

    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">']
    for value in _ticks(low, high):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for step, word in marks:
        parts.append(f'<line class="mark" x1="{x(step):.1f}" x2="{x(step):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text class="tick" x="{x(step) + 4:.1f}" y="{HEIGHT - 8}">{escape(word)}</text>')
    for number, (name, curve) in enumerate(curves.items()):
        points = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in enumerate(curve) if value > 0)
        parts.append(
            f'<polyline class="curve curve-{number}" points="{points}"><title>{escape(name)}</title></polyline>'
        )
    return "".join([*parts, "</svg>"])


def _decades(least: float, most: float) -> tuple[float, float]:
    """The ends of the axis, as powers of ten, a little outside of what it shows."""
    low, high = math.log10(least), math.log10(most)
    room = max((high - low) * 0.05, 0.02)
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 of each power of ten between the ends; only ones where there are many."""
    steps = (1,) if high - low > 2.5 else (1, 2, 5)
    powers = range(math.floor(low), math.ceil(high) + 1)
    ticks = [float(f"{step}e{power}") for power in powers for step in steps]
    return [tick for tick in ticks if low <= math.log10(tick) <= high]
