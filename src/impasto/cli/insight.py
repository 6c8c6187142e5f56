"""`impasto insight`: see what the network sees."""

from __future__ import annotations

import json as json_format
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from impasto import images, insight, weights
from impasto.cli.parameters import with_options
from impasto.cli.progress import display, errors, pull_missing, wall_display
from impasto.cli.reproduce import recorded_input, recorded_session
from impasto.cli.run_command import free_name, stem_of
from impasto.cli.run_outputs import report_of
from impasto.cli.signals import signals
from impasto.cli.stylize import Json, Quiet
from impasto.config import Config, RunOptions
from impasto.config.roles import assign_roles
from impasto.engine.allocation import keep_freed_memory
from impasto.errors import OutputError, RecipeError
from impasto.files import require_distinct, require_writable
from impasto.insight.inputs import SIZE_PX
from impasto.insight.reconstructions import ITERATIONS
from impasto.insight.report import SHOWN_PX, STRIP_PX, write_report
from impasto.insight.run_grid import RunGrid
from impasto.insight.view_options import UNUSED_OPTIONS
from impasto.render.film import Film
from impasto.render.text import to_words
from impasto.run.recipe import Recipe
from impasto.run.recipe_files import read_recipe
from impasto.samples.sources import resolve_picture

__all__ = ["app"]

app = App(name="insight", help="See what the network sees: features, style, content, and how they recombine.")

Output = Annotated[
    Path | None, Parameter(name=["-o", "--output"], help="File to write; without it a new name is made.")
]
Layers = Annotated[str | None, Parameter(help="Layers, comma-separated, such as relu1_1,relu3_1.")]
Picture = Annotated[str, Parameter(help="A picture's file, or sample:NAME.")]
Pictures = Annotated[list[str], Parameter(help="Pictures' files, or sample:NAME.", negative="")]

SAVING = ("bits", "quality")
"""A sheet is written as it is."""


def _takes_options(view: str, *without: str, **defaults: Any) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """A flag for every option that means something to a view."""
    dropped = {*UNUSED_OPTIONS[view], *SAVING, *without}
    return with_options(Config, RunOptions, without=dropped, defaults={"size": SIZE_PX, **defaults})


@app.command
@_takes_options("features")
def features(
    picture: Picture,
    /,
    *,
    layers: Layers = None,
    strongest: Annotated[int, Parameter(help="Feature maps to show of each layer.")] = 8,
    output: Output = None,
    quiet: Quiet = False,
    **options: Any,
) -> int:
    """Show the strongest feature maps of each layer, early layers to deep."""
    place, (seen,) = _opened("features", [picture], output, options, quiet=quiet)
    images.save(place, insight.features(seen, layers=layers, strongest=strongest, **options))
    if not quiet:
        print(place)
    return 0


@app.command
@_takes_options("gram")
def gram(
    pictures: Pictures,
    /,
    *,
    layers: Layers = None,
    halves: Annotated[
        bool | None, Parameter(help="Cut each picture in two of one texture; done to a single one without a word.")
    ] = None,
    output: Output = None,
    json: Json = False,
    quiet: Quiet = False,
    **options: Any,
) -> int:
    """Show Gram matrices as heat maps, and how far the styles of pictures are from each other."""
    place, seen = _opened("gram", pictures, output, options, quiet=quiet)
    view = insight.gram(seen, layers=layers, halves=halves, **options)
    images.save(place, view.sheet)
    if json:
        report = {"output": str(place), "names": view.names, "distances": view.distances.tolist()}
        print(json_format.dumps(report | {"shuffled": view.shuffled}))
    elif not quiet:
        print(place)
    return 0


@app.command
@_takes_options("reconstruct", iterations=ITERATIONS, detail_transfer=0.0)
def reconstruct(
    picture: Picture, /, *, layers: Layers = None, output: Output = None, quiet: Quiet = False, **options: Any
) -> int:
    """Paint a picture from its content alone, from noise, once for each layer."""
    place, (seen,) = _opened("reconstruct", [picture], output, options, quiet=quiet)
    return _painted(insight.reconstruct(seen, layers=layers, **options), place, quiet=quiet)[0]


@app.command
@_takes_options("texture", iterations=ITERATIONS)
def texture(
    style: Picture, /, *, upto: Layers = None, output: Output = None, quiet: Quiet = False, **options: Any
) -> int:
    """Paint a style alone, from noise, by one layer, by two, and so on."""
    place, (seen,) = _opened("texture", [style], output, options, quiet=quiet)
    return _painted(insight.texture(seen, upto=upto, **options), place, quiet=quiet)[0]


@app.command
@_takes_options("recombine")
def recombine(
    pictures: Annotated[list[str], Parameter(help="Contents: files, or sample:NAME.", negative="")],
    /,
    *,
    styles: Annotated[list[str], Parameter(help="Styles: files, or sample:NAME.", negative="", consume_multiple=True)],
    output: Output = None,
    quiet: Quiet = False,
    **options: Any,
) -> int:
    """Paint every content in every style."""
    place, seen = _opened("recombine", [*pictures, *styles], output, options, quiet=quiet)
    wall = insight.recombine(seen[: len(pictures)], seen[len(pictures) :], **options)
    return _painted(wall, place, quiet=quiet)[0]


@app.command
@_takes_options("sweep", "style_weights")  # there is one style
def sweep(
    content: Picture,
    style: Picture,
    /,
    *,
    over: Annotated[
        list[str],
        Parameter(help="An option and its values, such as alpha=1,5,25; once or twice.", negative="", required=True),
    ],
    output: Output = None,
    json: Json = False,
    quiet: Quiet = False,
    **options: Any,
) -> int:
    """Paint one pair over the values of one or two options."""
    values = insight.parse_sweep(over)
    place, (photo, painting) = _opened("sweep", [content, style], output, options, over=values, quiet=quiet)
    swept = insight.sweep(photo, painting, values, **options)
    status, stopped = _painted(swept.wall, place, quiet=quiet, silent=json)
    rows = swept.table()
    if json:
        print(json_format.dumps({"output": str(place), "cells": rows, "stopped": stopped}))
    elif not quiet:
        names = [*swept.settings[0], "total", "content", "style", "seconds"]
        table = Table(*map(to_words, names), box=None, padding=(0, 2, 0, 0))
        for row in rows:
            table.add_row(*(f"{row[n]:.4f}" if isinstance(row[n], float) else str(row[n]) for n in names))
        Console(highlight=False, soft_wrap=True, markup=False).print(table)
    return status


@app.command
def report(
    picture: Annotated[Path, Parameter(help="A picture that Impasto wrote.")],
    /,
    *,
    content: Annotated[Path | None, Parameter(help="The content image, if it is elsewhere.")] = None,
    style: Annotated[
        list[Path] | None, Parameter(help="The style image, if it is elsewhere; each of several.", negative="")
    ] = None,
    rerun: Annotated[
        bool, Parameter(negative="", help="Repeat the run, for the views that it went through; the picture stays.")
    ] = False,
    output: Output = None,
    quiet: Quiet = False,
) -> int:
    """Write a report on a picture's run: one HTML file with images, curves, recipe.

    The curves come from the trace inside the picture. Without one the run is repeated.
    """
    recipe = read_recipe(picture)
    place = output or free_name(picture.stem, ".html")
    if place.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"{place}: a report is a page. Use a name that ends in .html.")
    require_writable(place)
    require_distinct([place], [picture, content, *(style or [])])
    elsewhere = {"content": [content] if content else [], "style": style or []}
    film, losses, seconds = None, None, None
    if rerun or recipe.trace is None:
        session = recorded_session(recipe, elsewhere, None, picture.parent)
        film = Film(STRIP_PX)
        keep_freed_memory()
        with display(quiet=quiet) as bar:
            for progress in session.steps():
                bar.show(progress)
                film.saw(progress)
                if recipe.stopped and recipe.stopped.is_at(progress.scale, progress.iteration):
                    break
        result = session.finish(progress)
        recipe, losses, seconds = result.recipe, result.losses, result.seconds
    given = assign_roles("style", elsewhere["style"]) | assign_roles("content", elsewhere["content"])
    pictures = {role: _found(recipe, role, given.get(role), picture.parent) for role in recipe.inputs}
    size = images.dimensions(picture)
    image = images.load(picture, long_side_px=SHOWN_PX).pixels
    made = report_of(picture.name, recipe, image, size, pictures, losses=losses, seconds=seconds, film=film)
    write_report(made, place)
    if not quiet:
        print(place)
    return 0


def _found(recipe: Recipe, role: str, given: Path | None, beside: Path) -> Any:
    """An input, or None where it is not there; one that was given must be it."""
    try:
        return recorded_input(recipe, role, given, beside)
    except RecipeError:
        if given is not None:
            raise
        return None


def _opened(
    view: str,
    names: Sequence[str],
    output: Path | None,
    options: dict[str, Any],
    *,
    over: Mapping[str, Sequence[str]] | None = None,
    quiet: bool,
) -> tuple[Path, list[Any]]:
    """Where a sheet goes, found out to be writable and none of the pictures that it is made from; and those pictures.

    Weights that are missing are fetched, those of every network that `over` names too.
    """
    values = {name: [options[name]] for name in ("init", "network") if name in options} | dict(over or {})
    place = output or free_name(f"{stem_of(*names)}_{view}")
    images.require_output(place)
    require_distinct([place], [*names, *values.get("init", [])])
    for network in values.get("network", [Config.model_fields["network"].default]):
        if network in weights.SOURCES:  # others are refused by the option itself
            pull_missing(network, quiet=quiet)
    return place, [resolve_picture(name, int(options.get("size", SIZE_PX))) for name in names]


def _painted(wall: RunGrid, place: Path, *, quiet: bool, silent: bool = False) -> tuple[int, dict[str, int] | None]:
    """Paint a wall and write it; the exit status, and where it was stopped by a signal, written as far as it got."""
    keep_freed_memory()
    stopped = None
    with signals() as caught, wall_display(quiet=quiet) as bar:
        for standing in wall.paint():
            caught.painting = True  # from here on a signal waits for the step
            bar.show(standing)
            if caught.signal:
                if not quiet:
                    errors.print("stopping: writing the sheet so far (again to give up)")
                wall.keep(standing)
                if not (standing.number == standing.count and standing.progress.is_last):
                    progress = standing.progress
                    stopped = {"panel": standing.number, "scale": progress.scale, "iteration": progress.iteration}
                break
        images.save(place, wall.sheet())
    if not (quiet or silent):
        print(place)
    return (128 + caught.signal if caught.signal else 0), stopped
