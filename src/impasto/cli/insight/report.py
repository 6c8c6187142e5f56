"""`impasto insight report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from impasto import images
from impasto.cli.insight.shared import Output
from impasto.cli.parameters import MovedContent, MovedStyles, Quiet
from impasto.cli.progress import ProgressView
from impasto.cli.run_outputs import report_of
from impasto.config.roles import assign_roles
from impasto.core.method import Progress
from impasto.engine.allocation import keep_freed_memory
from impasto.errors import OutputError, RecipeError
from impasto.files import require_distinct, require_writable
from impasto.insight.report import SHOWN_PX, STRIP_PX, write_report
from impasto.render.film import Film
from impasto.run import Recipe, Run, drive, read_recipe
from impasto.run.observers import unused_path
from impasto.run.recorded import find_recorded_picture, prepare_recorded_run, stop_where_recorded

__all__ = ["report"]


def report(
    picture: Annotated[Path, Parameter(help="A picture that Impasto wrote.")],
    /,
    *,
    content: MovedContent = None,
    style: MovedStyles = None,
    rerun: Annotated[
        bool, Parameter(negative="", help="Repeat the run to show its steps too; the picture is not changed.")
    ] = False,
    output: Output = None,
    quiet: Quiet = False,
) -> int:
    """Write a report on a picture's run: one HTML file with images, curves and recipe.

    The curves come from the trace inside the picture. Without a trace the run is repeated.
    """
    recipe = read_recipe(picture)
    path = output or unused_path(Path(f"{picture.stem}.html"))
    if path.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"{path}: a report is an HTML page. Use a name that ends in .html.")
    require_writable(path)
    require_distinct([path], [picture, content, *(style or [])])
    moved = {"content": [content] if content else [], "style": style or []}
    film, losses, seconds = None, None, None
    if rerun or recipe.trace is None:
        run = prepare_recorded_run(recipe, folder=picture.parent, pictures=moved)
        film = Film(STRIP_PX)
        keep_freed_memory()

        def record(run: Run, progress: Progress) -> None:
            film.saw(progress)

        with ProgressView(quiet=quiet) as view:
            result = drive(run, [view.on_step, record], stop_where_recorded(recipe))
        recipe, losses, seconds = result.recipe, result.losses, result.seconds
    given = assign_roles("style", moved["style"]) | assign_roles("content", moved["content"])
    pictures = {role: _find_picture(recipe, role, given.get(role), picture.parent) for role in recipe.inputs}
    size = images.dimensions(picture)
    image = images.load(picture, long_side_px=SHOWN_PX).pixels
    page = report_of(picture.name, recipe, image, size, pictures, losses=losses, seconds=seconds, film=film)
    write_report(page, path)
    if not quiet:
        print(path)
    return 0


def _find_picture(recipe: Recipe, role: str, given: Path | None, folder: Path) -> Any:
    """Return an input, or None if it is missing; one that was given must be the recorded one."""
    try:
        return find_recorded_picture(recipe, role, given, folder)
    except RecipeError:
        if given is not None:
            raise
        return None
