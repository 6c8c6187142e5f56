"""`impasto reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from impasto.cli.console import log_to_console
from impasto.cli.parameters import Json, MovedContent, MovedStyles, Output, Quiet
from impasto.cli.run_command import RunCommand, file_stem
from impasto.clips.kinds import is_clip
from impasto.run import read_recipe
from impasto.run.recorded import prepare_recorded_run, stop_where_recorded

__all__ = ["reproduce"]


def reproduce(
    picture: Annotated[Path, Parameter(help="A picture that Impasto wrote.")],
    /,
    *,
    output: Output = None,
    content: MovedContent = None,
    style: MovedStyles = None,
    init: Annotated[Path | None, Parameter(help="The picture that it started from, if it was moved.")] = None,
    content_mask: Annotated[
        list[Path] | None, Parameter(help="The content mask, if it was moved; give each of several.", negative="")
    ] = None,
    style_mask: Annotated[
        list[Path] | None, Parameter(help="The style mask, if it was moved; give each of several.", negative="")
    ] = None,
    protect: Annotated[Path | None, Parameter(help="The mask of protected areas, if it was moved.")] = None,
    weights: Annotated[Path | None, Parameter(help="The weights file, if one was used and moved.")] = None,
    profile: Annotated[Path | None, Parameter(help="The color profile, if one was used and moved.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Repeat the run recorded in PICTURE, or in a clip: the same pixels on the same machine.

    Inputs are looked for beside the picture and in the working directory, and must be unchanged.
    """
    log_to_console()
    moved = {
        "content": [content] if content else [],
        "style": style or [],
        "init": [init] if init else [],
        "content_mask": content_mask or [],
        "style_mask": style_mask or [],
        "protect": [protect] if protect else [],
    }
    if is_clip(picture):
        from impasto.cli.clip_work import reproduce_clip  # needs the extra `video`

        return reproduce_clip(picture, output, moved, weights, json_output=json, quiet=quiet)
    recipe = read_recipe(picture)
    run = prepare_recorded_run(recipe, folder=picture.parent, pictures=moved, weights=weights, profile=profile)
    default = f"{file_stem(picture.name)}_again{picture.suffix}"
    return RunCommand(run, output, default, json, quiet).execute(stop_where_recorded(recipe))
