"""Curves over the steps of a run, as SVG: small, sharp at any size, and legible on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["draw_chart"]

WIDTH, HEIGHT = 480, 230
LEFT, RIGHT, TOP, BOTTOM = 66, 14, 10, 54
LINE = 20
"""Of the two lines of words beneath, high."""

LETTER = 9.5
"""Wide, at most."""

FEWEST, MOST = 3, 6
"""Numbers on an axis."""


def draw_chart(
    curves: Mapping[str, Sequence[float]],
    *,
    label: str,
    steps: Sequence[int] = (),
    marks: Sequence[tuple[int, str]] = (),
) -> str:
    """An SVG of `curves` over `steps`, logarithmic; `marks` are steps where a size begins, with a word.

    Without `steps` they are 1, 2, 3 … Its parts have classes: a page gives them colors, `curve-0` to the first of
    `curves` and so on; `plot` is the area that curves are drawn in. Values that are not positive have no place on a
    logarithmic axis, and are left out.
    """
    values = [value for curve in curves.values() for value in curve if value > 0]
    if not values:
        return ""
    steps = steps or range(1, 1 + max(len(curve) for curve in curves.values()))
    low, high = _ends(min(values), max(values))
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x(step: float) -> float:
        return LEFT + (right - LEFT) * (step - steps[0]) / max(steps[-1] - steps[0], 1)

    def y(value: float) -> float:
        return TOP + (bottom - TOP) * (high - math.log10(value)) / (high - low)

    def words(at: float, line: int, text: str, anchor: str) -> str:
        return (
            f'<text class="tick" x="{at:.1f}" y="{bottom + line * LINE}" text-anchor="{anchor}">{escape(text)}</text>'
        )

    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">',
        f'<rect class="plot" x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}"/>',
        words(LEFT - 8, 1, "step", "end"),
    ]
    for value in _ticks(10**low, 10**high):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y(value) + 5:.1f}" text-anchor="end">{value:g}</text>')
    parts += [words(x(step), 1, f"{step:g}", "middle") for step in _even(steps[0], steps[-1]) if step % 1 == 0]
    parts += [words(LEFT - 8, 2, "size", "end")] if marks else []
    room_to = float(WIDTH)
    for step, word in reversed(marks):  # the last size is the picture's: others give way to it
        parts.append(f'<line class="mark" x1="{x(step):.1f}" x2="{x(step):.1f}" y1="{TOP}" y2="{bottom}"/>')
        begins = min(x(step), WIDTH - LETTER * len(word))
        if begins + LETTER * len(word) <= room_to:
            parts.append(words(begins, 2, word, "start"))
            room_to = begins - LETTER
    for number, (name, curve) in enumerate(curves.items()):
        points = " ".join(
            f"{x(step):.1f},{y(value):.1f}" for step, value in zip(steps, curve, strict=False) if value > 0
        )
        parts.append(
            f'<polyline class="curve curve-{number}" points="{points}"><title>{escape(name)}</title></polyline>'
        )
    return "".join([*parts, "</svg>"])


def _ends(least: float, most: float) -> tuple[float, float]:
    """The ends of the axis, as powers of ten, a little outside of what it shows."""
    low, high = math.log10(least), math.log10(most)
    room = max((high - low) * 0.05, 0.02)
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """Numbers for a logarithmic axis: 1, 2 and 5 of each power of ten, or as many more or fewer as suit it."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for every in (1, 2, 3, 4):  # of the powers of ten, where there are many
        for digits in ((1, 2, 5), (1, 3), (1,)):
            ticks = [float(f"{digit}e{power}") for power in powers if power % every == 0 for digit in digits]
            shown = [tick for tick in ticks if low <= tick <= high]
            if FEWEST <= len(shown) <= MOST:
                return shown
    return _even(low, high)


def _even(low: float, high: float) -> list[float]:
    """Numbers evenly far apart, in steps of 1, 2 or 5 of a power of ten."""
    power = math.floor(math.log10(max(high - low, 1e-12)))
    for step in (float(f"{digit}e{at}") for at in (power, power - 1) for digit in (5, 2, 1)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 >= FEWEST:
            break
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]
