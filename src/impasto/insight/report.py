"""Reports: one run as one HTML file that holds everything it shows and makes no network requests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from PIL import Image
from torch import Tensor

from impasto import images
from impasto.config.roles import assign_roles, kind_of, pictures_by_role
from impasto.core.framing import frame_content, mount
from impasto.core.image import thumbnail
from impasto.core.tensor_store import RamStore
from impasto.errors import RecipeError
from impasto.files import atomic_write, require_writable
from impasto.insight.command import stylize_command
from impasto.insight.loss_charts import draw_loss_charts
from impasto.render.film import Film
from impasto.render.film_frame import Frame
from impasto.render.html import PANORAMA_SCRIPT, draw_figure, draw_slider, embed
from impasto.render.text import to_words
from impasto.run import Observer, Recipe, Result, Run, drive, read_recipe
from impasto.run.recorded import find_recorded_picture, prepare_recorded_run, stop_where_recorded

__all__ = ["FRAME_PX", "MAX_PX", "Report", "build_picture_report", "build_report", "build_run_report", "write_report"]

MAX_PX = 1024
"""Long side of the largest pictures in a report."""

SMALL_PX = 480
FRAME_PX = 200
FRAMES = 12
"""Number of frames in a report, about."""

FRAMES_PER_ROW = 7

PANORAMA_PX = 4096
"""Long side of a panorama, of which only a part is seen at a time."""

SHOW_PANORAMA = """
const template = document.getElementById("panorama");
const section = template.content.firstElementChild;
template.replaceWith(section);
section.append(viewPanorama(document.querySelector(".large img, img.large"), "The picture"));
"""

MISSING_TRACE = "<p>This picture has no loss trace. Repeat the run with <code>--rerun</code> to see its curves.</p>"


@dataclass(frozen=True)
class Report:
    """The content of a report: `image` and `content` (1, 3, H, W) have one size, limited for the page.

    `size` is the picture's (height, width). Inputs that were not found are None; `styles` have their roles.
    """

    name: str
    recipe: Recipe
    image: Tensor
    size: tuple[int, int]
    content: Tensor | None
    styles: Sequence[tuple[str, Tensor | None]]
    losses: Mapping[str, float] = field(default_factory=dict)
    frames: Sequence[Frame] = ()
    seconds: float | None = None

    def html(self) -> str:
        """Return the whole page."""
        rows = math.ceil(len(self.frames) / FRAMES_PER_ROW)
        template = Template(files("impasto.insight").joinpath("report.html").read_text(encoding="utf-8"))
        height, width = self.size
        trace, config = self.recipe.trace, self.recipe.config
        return template.substitute(
            name=escape(self.name),
            summary=escape(self._summary()),
            aspect=f"{width / height:.4f}",
            width=width,
            pictures="".join(self._pictures()),
            slider=draw_slider(self.content, self.image, _max_px(self.recipe)),
            panorama=_panorama_script() if config.panorama else "",
            curves=draw_loss_charts(trace, config, self.size) if trace else MISSING_TRACE,
            frames="".join(
                # "64×43, step 3 of 45" in two lines
                draw_figure(embed(Image.fromarray(frame.pixels), FRAME_PX), *reversed(frame.label.split(", ")))
                for frame in self.frames
            ),
            frame_columns=math.ceil(len(self.frames) / max(rows, 1)),
            frames_hidden="" if self.frames else "hidden",
            command=escape(stylize_command(self.recipe)),
            recipe="".join(_recipe_rows(self.recipe)),
        )

    def _summary(self) -> str:
        height, width = self.size
        parts = [f"{width} × {height} px", self.recipe.config.network, f"α = {self.recipe.config.alpha:g}"]
        losses = self.losses or _last_losses(self.recipe)
        parts += [f"{name} {losses[name]:.4g}" for name in ("total", "content", "style") if name in losses]
        if self.seconds is not None:
            parts.append(f"{self.seconds:.0f} s")
        if self.recipe.stopped is not None:
            parts.append("stopped early")
        return " · ".join(parts)

    def _pictures(self) -> list[str]:
        """Draw content, styles and target in one row."""
        figures = [self._input_figure("Content: what is depicted", "content", self.content)]
        for number, (role, image) in enumerate(self.styles, start=1):
            title = f"Style: how it looks{f' ({number})' if len(self.styles) > 1 else ''}"
            figures.append(self._input_figure(title, role, image))
        return [*figures, _figure(self.image, "Target: the only image that is optimized", self.name)]

    def _input_figure(self, title: str, role: str, image: Tensor | None) -> str:
        record = self.recipe.inputs.get(role)
        return _figure(image, title, (record and record.name) or "")


def build_report(
    recipe: Recipe,
    image: Tensor,
    inputs: Mapping[str, Any],
    *,
    name: str,
    size: tuple[int, int] | None = None,
    losses: Mapping[str, float] | None = None,
    seconds: float | None = None,
    film: Film | None = None,
) -> Report:
    """Build a report on a picture from its recipe. `inputs` are the pictures it was made from, by role.

    `image` (1, 3, H, W) may be smaller than the picture, whose `size` is (height, width). Inputs that are missing or
    None are shown as not found. Raises `ImageError`.
    """
    shown = thumbnail(image, _max_px(recipe))
    height, width = shown.shape[2:]

    def load(role: str) -> Tensor | None:
        return images.load(inputs[role], long_side_px=MAX_PX).pixels if inputs.get(role) is not None else None

    return Report(
        name=name,
        recipe=recipe,
        image=shown,
        size=size or (image.shape[2], image.shape[3]),
        content=_load_content(inputs.get("content"), recipe, height, width),
        styles=[(role, load(role)) for role in recipe.inputs if kind_of(role) == "style"],
        losses=losses or {},
        frames=film.select(FRAMES) if film else (),
        seconds=seconds,
    )


def _load_content(content: Any, recipe: Recipe, height: int, width: int) -> Tensor | None:
    """Load the photo as it lies in the picture, at this size of it."""
    if content is None:
        return None
    opened = images.open_image(content)
    frame = frame_content(opened.size, recipe.config).scaled_to(height, width)
    return mount(images.load(opened, frame=frame).pixels, frame, RamStore())


def build_run_report(run: Run, result: Result, *, name: str, film: Film | None = None) -> Report:
    """Build a report on a run that just ended; `film` has observed it. Raises `ImageError`."""
    inputs = pictures_by_role(run.opened_inputs)
    return build_report(
        result.recipe, result.image, inputs, name=name, losses=result.losses, seconds=result.seconds, film=film
    )


def build_picture_report(
    picture: str | Path,
    *,
    pictures: Mapping[str, Sequence[Any]] | None = None,
    rerun: bool = False,
    observers: Sequence[Observer] = (),
) -> Report:
    """Build a report on a picture that Impasto wrote, from the recipe inside.

    `rerun` repeats the run to show its frames; without a loss trace it is always repeated. `observers` watch it. Inputs
    are found as by `reproduce`, with `pictures` in place of those that moved; missing ones are shown as not found.
    Raises `RecipeError`, `ImageError`, and for a repeated run what `reproduce` raises.
    """
    path, given = Path(picture), pictures or {}
    recipe, film, result = read_recipe(path), None, None
    if rerun or recipe.trace is None:
        run, film = prepare_recorded_run(recipe, folder=path.parent, pictures=given), Film(FRAME_PX)
        result = drive(run, [film.observe, *observers], stop_where_recorded(recipe))
    by_role = {role: each for kind, several in given.items() for role, each in assign_roles(kind, several).items()}
    return build_report(
        result.recipe if result else recipe,
        images.load(path, long_side_px=_max_px(recipe)).pixels,
        {role: _find_picture(recipe, role, by_role.get(role), path.parent) for role in recipe.inputs},
        name=path.name,
        size=images.open_image(path).size,
        losses=result.losses if result else None,
        seconds=result.seconds if result else None,
        film=film,
    )


def _find_picture(recipe: Recipe, role: str, given: Any, folder: Path) -> Any:
    """Return an input, or None if it is missing. One that was given must be the recorded one."""
    try:
        return find_recorded_picture(recipe, role, given, folder)
    except RecipeError:
        if given is not None:
            raise
        return None


def write_report(report: Report, path: str | Path) -> Path:
    """Write a report as an HTML file. Raises `OutputError`."""
    path = Path(path)
    require_writable(path)
    with atomic_write(path) as temporary:
        temporary.write_text(report.html(), encoding="utf-8")
    return path


def _max_px(recipe: Recipe) -> int:
    """Return the long side of the largest pictures in a report."""
    return PANORAMA_PX if recipe.config.panorama else MAX_PX


def _panorama_script() -> str:
    return f'<script type="module">\n{PANORAMA_SCRIPT.read_text(encoding="utf-8")}{SHOW_PANORAMA}</script>'


def _last_losses(recipe: Recipe) -> Mapping[str, float]:
    return {name: values[-1] for name, values in recipe.trace.numbers.items()} if recipe.trace else {}


def _recipe_rows(recipe: Recipe) -> list[str]:
    dump = recipe.model_dump(mode="json", exclude={"trace"})
    rows = [("version", dump["version"]), ("weights SHA-256", dump["weights_sha256"])]
    rows += [(role, f"{record['name'] or 'not a file'}  {record['sha256']}") for role, record in dump["inputs"].items()]
    rows += [(name, value) for part in ("resolved", "run", "plan") for name, value in dump[part].items()]
    return [
        f"<tr><th>{escape(to_words(name))}</th><td>{escape('auto' if value is None else str(value))}</td></tr>"
        for name, value in rows
    ]


def _figure(image: Tensor | None, title: str, name: str) -> str:
    if image is None:
        return draw_figure("", title, name, aspect=4 / 3)
    return draw_figure(embed(image, SMALL_PX), title, name, aspect=image.shape[3] / image.shape[2])
