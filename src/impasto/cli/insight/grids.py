"""`impasto insight reconstruct`, `texture`, `recombine` and `sweep`: grids of pictures that are painted."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from impasto import images, insight
from impasto.cli.console import console, print_table
from impasto.cli.insight.shared import Layers, Output, Picture, open_pictures, with_view_options
from impasto.cli.parameters import Json, Preset, Quiet
from impasto.cli.progress import ProgressView
from impasto.cli.signals import catch_signals
from impasto.config.presets import load_preset
from impasto.insight.inputs import PLAIN_METHOD
from impasto.insight.reconstructions import ITERATIONS
from impasto.insight.run_grid import RunGrid
from impasto.process import keep_freed_memory
from impasto.render.text import to_words

__all__ = ["recombine", "reconstruct", "sweep", "texture"]


@with_view_options("reconstruct", iterations=ITERATIONS, detail_transfer=0.0)
def reconstruct(
    picture: Picture, /, *, layers: Layers = None, output: Output = None, quiet: Quiet = False, **options: Any
) -> int:
    """Paint a picture from its content alone, from noise, once for each layer."""
    path, (image,) = open_pictures("reconstruct", [picture], output, options, quiet=quiet)
    return _paint_grid(insight.reconstruct(image, layers=layers, **options), path, quiet=quiet)[0]


@with_view_options("texture", iterations=ITERATIONS, style_loss=PLAIN_METHOD["style_loss"])
def texture(
    style: Picture, /, *, layers: Layers = None, output: Output = None, quiet: Quiet = False, **options: Any
) -> int:
    """Paint a style alone, from noise, with one layer, with two, and so on."""
    path, (image,) = open_pictures("texture", [style], output, options, quiet=quiet)
    return _paint_grid(insight.texture(image, layers=layers, **options), path, quiet=quiet)[0]


@with_view_options("recombine")
def recombine(
    pictures: Annotated[list[str], Parameter(help="Contents: files, or sample:NAME.", negative="")],
    /,
    *,
    styles: Annotated[list[str], Parameter(help="Styles: files, or sample:NAME.", negative="", consume_multiple=True)],
    preset: Preset = "painterly",
    output: Output = None,
    quiet: Quiet = False,
    **options: Any,
) -> int:
    """Paint every content in every style."""
    options = load_preset(preset).overrides() | options
    path, found = open_pictures("recombine", [*pictures, *styles], output, options, quiet=quiet)
    grid = insight.recombine(found[: len(pictures)], found[len(pictures) :], **options)
    return _paint_grid(grid, path, quiet=quiet)[0]


@with_view_options("sweep", "style_weights")  # there is one style
def sweep(
    content: Picture,
    style: Picture,
    /,
    *,
    over: Annotated[
        list[str],
        Parameter(help="An option and its values, such as alpha=1,5,25; once or twice.", negative="", required=True),
    ],
    preset: Preset = "painterly",
    output: Output = None,
    json: Json = False,
    quiet: Quiet = False,
    **options: Any,
) -> int:
    """Paint one pair with several values of one or two options."""
    values = insight.parse_sweep(over)
    options = load_preset(preset).overrides() | options
    path, (photo, painting) = open_pictures("sweep", [content, style], output, options, over=values, quiet=quiet)
    result = insight.sweep(photo, painting, values, **options)
    status, stopped = _paint_grid(result.grid, path, quiet=quiet, print_path=not json)
    rows = result.table()
    if json:
        print(json_format.dumps({"output": str(path), "cells": rows, "stopped": stopped}))
    elif not quiet:
        names = [*result.settings[0], "total", "content", "style", "seconds"]
        cells = ([f"{row[n]:.4f}" if isinstance(row[n], float) else str(row[n]) for n in names] for row in rows)
        print_table(cells, *map(to_words, names))
    return status


def _paint_grid(
    grid: RunGrid, path: Path, *, quiet: bool, print_path: bool = True
) -> tuple[int, dict[str, int] | None]:
    """Paint a grid and save it; return the exit status, and the step at which a signal stopped it."""
    keep_freed_memory()
    stopped = None
    with catch_signals() as catcher, ProgressView(quiet=quiet) as view:
        for step in grid.steps():
            catcher.deferring = True  # from here on a signal waits for the step
            view.show_cell(step)
            if catcher.signal:
                if not quiet:
                    console.print("stopping: saving the sheet so far (press again to discard it)")
                grid.finish_cell(step)
                if not (step.number == step.count and step.progress.is_last):
                    progress = step.progress
                    stopped = {"cell": step.number, "scale": progress.scale, "iteration": progress.iteration}
                break
        images.save(path, grid.draw())
    if print_path and not quiet:
        print(path)
    return (128 + catcher.signal if catcher.signal else 0), stopped
