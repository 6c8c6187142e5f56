"""Charts of a loss trace: the terms of the total, style and content by layer, the gradient."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from html import escape

from impasto.config import Config
from impasto.render.chart import draw_chart
from impasto.run.recipe import Trace

__all__ = ["draw_loss_charts", "step_numbers"]

FACTORS = {"content": "content_weight", "style": "alpha", "tv": "tv_weight", "laplacian": "laplacian_weight"}
"""The terms of the total loss, and the options that scale them."""

Curves = Mapping[str, Sequence[float]]


def draw_loss_charts(trace: Trace, config: Config, size: tuple[int, int]) -> str:
    """Draw the charts of a run as HTML. `size` is the picture's (height, width)."""
    steps = step_numbers(trace)
    marks = _size_marks(trace, steps, *size)
    terms, style = _terms(trace, config), _layers(trace, "style")
    content, gradient = _layers(trace, "content"), {"gradient": trace.numbers["gradient"]}
    charts: list[tuple[str, str, Curves]] = [
        (
            f"Total = {' + '.join(terms)}",
            "The optimizer minimizes the total. Each size starts from the result of the one before.",
            {"total": trace.numbers["total"], **terms},
        ),
        (
            "Style, layer by layer",
            "Difference of the Gram matrices, or of another style loss, in each layer.",
            style,
        ),
        ("Content, layer by layer", "Difference of the feature maps in each layer.", content),
        ("Gradient", "Root mean square over the pixels. It shrinks as the run converges.", gradient),
    ]
    if len(content) == 1:  # it equals the content term of the first chart
        charts.pop(2)
    return "".join(_draw(title, note, curves, steps, marks) for title, note, curves in charts if curves)


def _terms(trace: Trace, config: Config) -> Curves:
    """Return the weighted terms of the total, under names such as `5 × style`."""
    factors = {name: getattr(config, option) for name, option in FACTORS.items()}
    return {
        name if factor == 1 else f"{factor:g} × {name}": [factor * value for value in trace.numbers[name]]
        for name, factor in factors.items()
        if factor
    }


def _layers(trace: Trace, part: str) -> Curves:
    return {name.partition(".")[2]: values for name, values in trace.numbers.items() if name.startswith(f"{part}.")}


def _draw(title: str, note: str, curves: Curves, steps: Sequence[int], marks: Sequence[tuple[int, str]]) -> str:
    svg = draw_chart(curves, label=title, steps=steps, marks=marks)
    if not svg:
        return ""
    keys = "".join(
        f'<li class="key-{number}">{escape(name)} <b>{values[-1]:.3g}</b></li>'
        for number, (name, values) in enumerate(curves.items())
    )
    data = escape(json.dumps({name: list(values) for name, values in curves.items()}))
    return (
        f'<section class="curves" data-curves="{data}" data-steps="{json.dumps(steps)}">'
        f"<h3>{escape(title)}</h3><p>{escape(note)}</p>"
        f"{svg}<ul class='keys'><li>step <b>{steps[-1]}</b></li>{keys}</ul></section>"
    )


def step_numbers(trace: Trace) -> list[int]:
    """Return the step of each row of a trace in the whole run."""
    rows = list(zip(trace.scale, trace.iteration, strict=True))
    gaps = [row[1] - before[1] for before, row in itertools.pairwise(rows) if before[0] == row[0]]
    interval = gaps[0] if gaps else 1
    steps = [1 + interval * number for number in range(len(rows))]
    if len(gaps) > 1 and rows[-1][0] == rows[-2][0]:
        steps[-1] = steps[-2] + gaps[-1]
    return steps


def _size_marks(trace: Trace, steps: Sequence[int], height: int, width: int) -> list[tuple[int, str]]:
    """Return the first step of each size. Sizes double from scale to scale, up to the picture's."""
    starts = [at for at, scale in enumerate(trace.scale) if at == 0 or scale != trace.scale[at - 1]]
    halvings = [max(trace.scale) - trace.scale[at] for at in starts]
    return [(steps[at], f"{width >> n}×{height >> n}") for at, n in zip(starts, halvings, strict=True)]
