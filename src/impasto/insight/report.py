"""One run as one HTML file: its three images, before and after, the curves, the strip, the recipe.

The file holds all it shows, and asks nothing of any address.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from PIL import Image
from torch import Tensor

from impasto.config import Config
from impasto.config.roles import kind_of
from impasto.core.image import thumbnail
from impasto.files import atomic_write, require_writable
from impasto.render.chart import draw_chart
from impasto.render.film import Frame
from impasto.render.grid import to_pil
from impasto.render.text import to_words
from impasto.run.recipe import Recipe, Trace

__all__ = ["Report", "command_of", "steps_of", "write_report"]

SHOWN_PX = 1024
"""Long side of the pictures in a report at most: for looking at, not for keeping."""

SMALL_PX = 480
STRIP_PX = 200
LONGEST_ROW = 7
"""Views of the strip beside each other at most."""

WEIGHTS = {"content": "content_weight", "style": "alpha", "tv": "tv_weight", "laplacian": "laplacian_weight"}
"""The terms of the total, and the options that are their factors."""


@dataclass(frozen=True)
class Report:
    """What a report tells of. Pictures are (1, 3, H, W), and may be smaller than they are: `size` is that of the
    picture, (height, width). Those that could not be found are None.
    """

    name: str
    recipe: Recipe
    image: Tensor
    size: tuple[int, int]
    content: Tensor | None
    styles: Sequence[tuple[str, Tensor | None]]
    losses: dict[str, float] = field(default_factory=dict)
    strip: Sequence[Frame] = ()
    seconds: float | None = None

    def html(self) -> str:
        """The whole page."""
        rows = math.ceil(len(self.strip) / LONGEST_ROW)
        template = Template(files("impasto.insight").joinpath("report.html").read_text(encoding="utf-8"))
        height, width = self.size
        return template.substitute(
            name=escape(self.name),
            summary=escape(self._summary(width, height)),
            aspect=f"{width / height:.4f}",
            width=width,
            image=_data(self.image, SHOWN_PX),
            pictures="".join(self._pictures()),
            slider=self._slider(),
            curves="".join(_curves(self.recipe.trace, self.recipe.config, width, height))
            if self.recipe.trace
            else MISSING_TRACE,
            strip="".join(
                # "64×43, step 3 of 45" as two lines that are short enough.
                _figure(_encoded(Image.fromarray(view.pixels), STRIP_PX), *reversed(view.label.split(", ")))
                for view in self.strip
            ),
            strip_columns=math.ceil(len(self.strip) / max(rows, 1)),
            strip_hidden="" if self.strip else "hidden",
            command=escape(command_of(self.recipe)),
            recipe="".join(_rows(self.recipe)),
        )

    def _summary(self, width: int, height: int) -> str:
        parts = [f"{width} × {height} px", self.recipe.config.network, f"α = {self.recipe.config.alpha:g}"]
        losses = self.losses or _last(self.recipe.trace)
        parts += [f"{name} {losses[name]:.4g}" for name in ("total", "content", "style") if name in losses]
        if self.seconds is not None:
            parts.append(f"{self.seconds:.0f} s")
        if self.recipe.stopped is not None:
            parts.append("stopped before its end")
        return " · ".join(parts)

    def _pictures(self) -> list[str]:
        shown = [("Content: what is depicted", self.recipe.inputs.get("content"), self.content)]
        shown += [
            (
                f"Style: how it looks{f' ({number})' if len(self.styles) > 1 else ''}",
                self.recipe.inputs.get(role),
                image,
            )
            for number, (role, image) in enumerate(self.styles, start=1)
        ]
        figures = [_pictured(image, what, (record and record.name) or "") for what, record, image in shown]
        return [*figures, _pictured(self.image, "Target: the only thing that learned", self.name)]

    def _slider(self) -> str:
        if self.content is None:
            return f'<img class="large" src="{_data(self.image, SHOWN_PX)}" alt="The picture">'
        return SLIDER.format(before=_data(self.content, SHOWN_PX), after=_data(self.image, SHOWN_PX))


MISSING_TRACE = "<p>This picture holds no trace of its run. Run it again to see its curves.</p>"

SLIDER = (
    '<div class="large compare"><img src="{after}" alt="The picture">'
    '<img class="before" src="{before}" alt="The content">'
    '<input type="range" min="0" max="100" value="50" aria-label="Before and after"><span class="handle"></span></div>'
)


def write_report(report: Report, path: str | Path) -> Path:
    """Write the page. Raises `OutputError`."""
    path = Path(path)
    require_writable(path)
    with atomic_write(path) as temporary:
        temporary.write_text(report.html(), encoding="utf-8")
    return path


def command_of(recipe: Recipe) -> str:
    """The command line that paints it again, with every option that is not the default's."""
    names = {role: record.name or f"{role.upper()}" for role, record in recipe.inputs.items()}
    words = ["impasto", "stylize", names.pop("content")]
    words += [name for role, name in names.items() if kind_of(role) == "style"]
    for role, name in names.items():
        if (kind := kind_of(role)) != "style":
            words += [f"--{kind.replace('_', '-')}", name]
    if recipe.weights_name is not None:
        words += ["--weights", recipe.weights_name]
    words += _changed(recipe)
    return shlex.join(words)


def _changed(recipe: Recipe) -> list[str]:
    """Flags for what differs from the defaults that this network has."""
    config = recipe.config.model_dump(mode="json")
    usual = Config(network=recipe.config.network).model_dump(mode="json") | {"network": Config().network}
    words: list[str] = []
    for name, value in config.items():
        if value == usual[name] or (name == "init" and value == "image"):
            continue
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", str(value)]
    return words


def _curves(trace: Trace, config: Config, width: int, height: int) -> list[str]:
    """The charts: all terms, style layer by layer, content likewise if there are several, the gradient."""
    numbers, steps = trace.numbers, steps_of(trace)
    marks = _marks(trace, steps, width, height)
    factors = {name: getattr(config, option) for name, option in WEIGHTS.items()}
    terms: dict[str, Sequence[float]] = {
        name if factor == 1 else f"{factor:g} × {name}": [factor * value for value in numbers[name]]
        for name, factor in factors.items()
        if factor
    }
    by_layer: dict[str, dict[str, Sequence[float]]] = {
        part: {name.partition(".")[2]: values for name, values in numbers.items() if name.startswith(f"{part}.")}
        for part in ("style", "content")
    }
    alone = by_layer["content"] if len(by_layer["content"]) == 1 else None  # it is the first chart's
    gradient: dict[str, Sequence[float]] = {"gradient": numbers["gradient"]}
    drawn = [
        (
            f"Total = {' + '.join(terms)}",
            "What descent lowers. Each size begins where the one before ended.",
            {"total": numbers["total"], **terms},
        ),
        (
            "Style, layer by layer",
            "How far Gram matrices, or what else style is compared by, are off.",
            by_layer["style"],
        ),
        ("Content, layer by layer", "How far feature maps are off.", by_layer["content"]),
        ("Gradient", "Its size on the pixels: how much there is left to learn.", gradient),
    ]
    return [
        _chart(title, note, curves, steps, marks) for title, note, curves in drawn if curves and curves is not alone
    ]


def _chart(
    title: str,
    note: str,
    curves: dict[str, Sequence[float]],
    steps: Sequence[int],
    marks: Sequence[tuple[int, str]],
) -> str:
    svg = draw_chart(curves, label=title, steps=steps, marks=marks)
    if not svg:
        return ""
    keys = "".join(
        f'<li class="key-{number}">{escape(name)} <b>{values[-1]:.3g}</b></li>'
        for number, (name, values) in enumerate(curves.items())
    )
    values = escape(json.dumps({name: list(column) for name, column in curves.items()}))
    return (
        f'<section class="curves" data-curves="{values}" data-steps="{json.dumps(steps)}">'
        f"<h3>{escape(title)}</h3><p>{escape(note)}</p>"
        f"{svg}<ul class='keys'><li>step <b>{steps[-1]}</b></li>{keys}</ul></section>"
    )


def steps_of(trace: Trace) -> list[int]:
    """The number of each row's step in the whole run. Rows are evenly far apart, but for the last."""
    at = list(zip(trace.scale, trace.iteration, strict=True))
    apart = [now[1] - before[1] for before, now in itertools.pairwise(at) if before[0] == now[0]]
    every = apart[0] if apart else 1
    steps = [1 + every * number for number in range(len(at))]
    if len(apart) > 1 and at[-1][0] == at[-2][0]:
        steps[-1] = steps[-2] + apart[-1]
    return steps


def _marks(trace: Trace, steps: Sequence[int], width: int, height: int) -> list[tuple[int, str]]:
    """The steps that each size begins with; each is twice the one before, up to that of the picture."""
    starts = [at for at, scale in enumerate(trace.scale) if at == 0 or scale != trace.scale[at - 1]]
    halvings = [max(trace.scale) - trace.scale[at] for at in starts]
    return [(steps[at], f"{width >> n}×{height >> n}") for at, n in zip(starts, halvings, strict=True)]


def _last(trace: Trace | None) -> dict[str, float]:
    return {name: values[-1] for name, values in trace.numbers.items()} if trace else {}


def _rows(recipe: Recipe) -> list[str]:
    told = recipe.model_dump(mode="json", exclude={"trace"})
    rows = [("version", told["version"]), ("weights SHA-256", told["weights_sha256"])]
    rows += [
        (f"{role}", f"{record['name'] or 'no file'}  {record['sha256']}") for role, record in told["inputs"].items()
    ]
    rows += [(name, value) for part in ("config", "run", "plan") for name, value in told[part].items()]
    return [f"<tr><th>{escape(to_words(name))}</th><td>{escape(str(value))}</td></tr>" for name, value in rows]


def _pictured(image: Tensor | None, what: str, name: str) -> str:
    """One of the three images: their shares of a row make them equally high."""
    if image is None:
        return _figure("", what, name, aspect=4 / 3)
    return _figure(_data(image, SMALL_PX), what, name, aspect=image.shape[3] / image.shape[2])


def _figure(source: str, *lines: str, aspect: float | None = None) -> str:
    """A picture with a caption of one line or two."""
    said = [escape(line) for line in lines if line]
    picture = f'<img src="{source}" alt="{", ".join(said)}">' if source else '<div class="missing">not found</div>'
    style = f' style="--aspect: {aspect:.4f}"' if aspect else ""
    caption = "".join(f"<span>{line}</span>" for line in said)
    return f"<figure{style}>{picture}<figcaption>{caption}</figcaption></figure>"


def _data(image: Tensor, long_side_px: int) -> str:
    return _encoded(to_pil(thumbnail(image, long_side_px)), long_side_px)


def _encoded(picture: Image.Image, long_side_px: int) -> str:
    buffer = io.BytesIO()
    picture.thumbnail((long_side_px, long_side_px))
    picture.save(buffer, format="JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
