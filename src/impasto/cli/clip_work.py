"""The work of `impasto video` and of `impasto reproduce` for clips: from parsed parameters to a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from impasto.cli.clip_command import ClipCommand
from impasto.cli.console import log_to_console, pull_missing
from impasto.cli.run_command import file_stem
from impasto.clips.api import prepare_clip
from impasto.clips.clip_run import ClipRun
from impasto.clips.kinds import CLIP_SUFFIX
from impasto.clips.recorded import prepare_recorded_clip, read_clip_recipe
from impasto.config import Config, Inputs, RunOptions
from impasto.config.presets import load_preset
from impasto.config.video import PICTURES_ONLY, VideoOptions
from impasto.errors import ConfigError
from impasto.jobs import Job, JobStore
from impasto.jobs.clips import submit_clip
from impasto.run.recorded import Pictures
from impasto.samples.sources import resolve_picture

__all__ = ["paint_clip", "queue_clip", "read_cuts", "reproduce_clip"]


def paint_clip(
    clip: Path,
    styles: Sequence[str],
    options: dict[str, Any],
    output: Path | None,
    *,
    preset: str,
    preview: bool,
    resume: bool,
    keep_frames: bool,
    json_output: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """Paint a clip in the style of pictures, and return the exit status."""
    log_to_console(verbose=verbose)
    config = load_preset(preset)

    def prepare(path: Path) -> ClipRun:
        if options.get("weights") is None:
            pull_missing(options.get("network", config.network), quiet=quiet)
        return prepare_clip(clip, styles, path, config, resume=resume, is_preview=preview, **read_cuts(options))

    default = f"{file_stem(str(clip), *styles)}{CLIP_SUFFIX}"
    command = ClipCommand(
        prepare, output, default, resume=resume, keep_frames=keep_frames, json_output=json_output, quiet=quiet
    )
    return command.execute(preview=preview)


def reproduce_clip(
    clip: Path, output: Path | None, pictures: Pictures, weights: Path | None, *, json_output: bool, quiet: bool
) -> int:
    """Repeat the run recorded in a clip, with `pictures` in place of those that it names. Return the exit status."""
    recipe = read_clip_recipe(clip)

    def prepare(path: Path) -> ClipRun:
        return prepare_recorded_clip(recipe, path, clip.parent, pictures=pictures, weights=weights)

    default = f"{file_stem(clip.name)}_again{clip.suffix}"
    return ClipCommand(prepare, output, default, json_output=json_output, quiet=quiet).execute()


def queue_clip(
    store: JobStore,
    clip: str,
    styles: Sequence[str],
    options: dict[str, Any],
    output: Path | None,
    *,
    preset: str,
    priority: int,
) -> Job:
    """Add a clip to the queue, with a job for each shot."""
    if unused := [name for name in PICTURES_ONLY if name in options]:
        raise ConfigError(f"{unused[0]} is an option of pictures, and {clip} is a clip. Leave it out.")
    options = read_cuts(options)
    video = VideoOptions.take(options)
    run = RunOptions.take(options)
    files = {name: options.pop(name) for name in Inputs.model_fields if name in options}
    config = Config(**(load_preset(preset).model_dump() | options))
    painted = tuple(resolve_picture(style, config.painted_px) for style in styles)
    inputs = Inputs(content=Path(clip), styles=painted, **files)
    place = None if output is None else str(output.absolute())
    return submit_clip(store, inputs, config, run, video, output=place, priority=priority)


def read_cuts(options: dict[str, Any]) -> dict[str, Any]:
    """Return options with the times of a file of cuts, one on each line."""
    cuts = options.get("cuts")
    if cuts is None or not Path(cuts).is_file():
        return options
    try:
        lines = Path(cuts).read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{cuts} cannot be read as text. Write the time of a cut on each line.") from error
    return options | {"cuts": ",".join(lines) or "none"}
