"""Charts: curves over the steps of a run, as SVG that suits light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["draw_chart"]

WIDTH, HEIGHT = 480, 230
LEFT, TOP, RIGHT, BOTTOM = 66, 10, WIDTH - 14, HEIGHT - 54
"""The edges of the plot, within the chart."""

LINE_HEIGHT = 20
MAX_LETTER_WIDTH = 9.5

MIN_TICKS, MAX_TICKS = 3, 6


@dataclass(frozen=True)
class _Axes:
    """Scales from steps and values to coordinates: steps are linear, values logarithmic."""

    first_step: float
    last_step: float
    low: float
    high: float

    def x(self, step: float) -> float:
        """Return the horizontal coordinate of a step."""
        return LEFT + (RIGHT - LEFT) * (step - self.first_step) / max(self.last_step - self.first_step, 1)

    def y(self, value: float) -> float:
        """Return the vertical coordinate of a positive value."""
        return TOP + (BOTTOM - TOP) * (self.high - math.log10(value)) / (self.high - self.low)


def draw_chart(
    curves: Mapping[str, Sequence[float]],
    *,
    label: str,
    steps: Sequence[int] = (),
    marks: Sequence[tuple[int, str]] = (),
) -> str:
    """Draw `curves` over `steps` (default: 1, 2, 3 …) on a logarithmic axis, as SVG.

    `marks` are labeled steps, such as the first step of each size. Values that are zero, negative or infinite are left
    out; without any other value, the result is empty. Colors are left to the page: the parts have classes, `curve-0`
    for the first of `curves` and so on, and `plot` for the area of the curves.
    """
    values = [value for curve in curves.values() for value in curve if 0 < value < math.inf]
    if not values:
        return ""
    steps = steps or range(1, 1 + max(len(curve) for curve in curves.values()))
    axes = _Axes(steps[0], steps[-1], *_padded_range(min(values), max(values)))
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">',
        f'<rect class="plot" x="{LEFT}" y="{TOP}" width="{RIGHT - LEFT}" height="{BOTTOM - TOP}"/>',
        *_draw_axes(axes),
        *_draw_marks(axes, marks),
        *(_draw_curve(axes, number, name, steps, curve) for number, (name, curve) in enumerate(curves.items())),
        "</svg>",
    ]
    return "".join(parts)


def _draw_axes(axes: _Axes) -> list[str]:
    parts = [_text(LEFT - 8, 1, "step", "end")]
    for value in _logarithmic_ticks(10**axes.low, 10**axes.high):
        y = axes.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 5:.1f}" text-anchor="end">{value:g}</text>')
    steps = (step for step in _linear_ticks(axes.first_step, axes.last_step) if step % 1 == 0)
    return parts + [_text(axes.x(step), 1, f"{step:g}", "middle") for step in steps]


def _draw_marks(axes: _Axes, marks: Sequence[tuple[int, str]]) -> list[str]:
    parts = [_text(LEFT - 8, 2, "size", "end")] if marks else []
    right_limit = float(WIDTH)
    for step, label in reversed(marks):  # if labels would overlap, the last one has priority
        x, width = axes.x(step), MAX_LETTER_WIDTH * len(label)
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{BOTTOM}"/>')
        left = min(x, WIDTH - width)
        if left + width <= right_limit:
            parts.append(_text(left, 2, label, "start"))
            right_limit = left - MAX_LETTER_WIDTH
    return parts


def _draw_curve(axes: _Axes, number: int, name: str, steps: Sequence[int], curve: Sequence[float]) -> str:
    positive = [(step, value) for step, value in zip(steps, curve, strict=False) if 0 < value < math.inf]
    points = " ".join(f"{axes.x(step):.1f},{axes.y(value):.1f}" for step, value in positive)
    return f'<polyline class="curve curve-{number}" points="{points}"><title>{escape(name)}</title></polyline>'


def _text(x: float, line: int, text: str, anchor: str) -> str:
    """Draw a text below the plot."""
    y = BOTTOM + line * LINE_HEIGHT
    return f'<text class="tick" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _padded_range(least: float, most: float) -> tuple[float, float]:
    """Return the ends of the value axis as powers of ten, with a margin."""
    low, high = math.log10(least), math.log10(most)
    margin = max((high - low) * 0.05, 0.02)
    return low - margin, high + margin


def _logarithmic_ticks(low: float, high: float) -> list[float]:
    """Choose 3 to 6 ticks: digits 1, 2, 5 of each power of ten, or fewer, or evenly spaced ones."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for power_step in range(1, len(powers) + 1):
        for digits in ((1, 2, 5), (1, 3), (1,)):
            ticks = [float(f"{digit}e{power}") for power in powers if power % power_step == 0 for digit in digits]
            visible = [tick for tick in ticks if low <= tick <= high]
            if MIN_TICKS <= len(visible) <= MAX_TICKS:
                return visible
    return _linear_ticks(low, high)


def _linear_ticks(low: float, high: float) -> list[float]:
    """Choose evenly spaced ticks, in steps of 1, 2 or 5 times a power of ten."""
    power = math.floor(math.log10(max(high - low, 1e-12)))
    for step in (float(f"{digit}e{exponent}") for exponent in (power, power - 1) for digit in (5, 2, 1)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 >= MIN_TICKS:
            break
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]
