"""`impasto insight report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from impasto.cli.insight.shared import Output
from impasto.cli.parameters import MovedContent, MovedStyles, Quiet
from impasto.cli.progress import ProgressView
from impasto.errors import OutputError
from impasto.files import require_distinct, require_writable
from impasto.insight.report import build_picture_report, write_report
from impasto.process import keep_freed_memory
from impasto.run.observers import unused_path

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
    path = output or unused_path(Path(f"{picture.stem}.html"))
    if path.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"{path}: a report is an HTML page. Use a name that ends in .html.")
    require_writable(path)
    require_distinct([path], [picture, content, *(style or [])])
    keep_freed_memory()
    with ProgressView(quiet=quiet) as view:
        moved = {"content": [content] if content else [], "style": style or []}
        page = build_picture_report(picture, pictures=moved, rerun=rerun, observers=[view.on_step])
    write_report(page, path)
    if not quiet:
        print(path)
    return 0
