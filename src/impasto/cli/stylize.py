"""`impasto stylize` and `impasto demo`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from impasto.cli.console import console, log_to_console
from impasto.cli.options import with_options
from impasto.cli.parameters import (
    ContentMasks,
    Json,
    On,
    Output,
    Preset,
    Protect,
    Quiet,
    Report,
    StyleMasks,
    Timelapse,
    TimelapseSeconds,
    Verbose,
    Weights,
)
from impasto.cli.run_command import RunCommand, file_stem
from impasto.cli.run_outputs import RunOutputs
from impasto.config import Config, RunOptions
from impasto.config.presets import load_preset
from impasto.distributed import LOCAL, Driver
from impasto.distributed.tile_backend import SERVICE, distribute_tiles
from impasto.errors import ConfigError
from impasto.run import Run, prepare_run
from impasto.run.observers import CHECKPOINT_INTERVAL_S, CheckpointWriter
from impasto.samples.sources import resolve_picture

__all__ = ["demo", "stylize"]


@with_options(Config, RunOptions)
def stylize(
    content: Annotated[str, Parameter(help="The photo: a file, or sample:NAME.")],
    style: Annotated[
        list[str], Parameter(help="The painting: a file, or sample:NAME. Several are blended.", negative="")
    ],
    /,
    *,
    output: Output = None,
    preset: Preset = "painterly",
    content_mask: ContentMasks = None,
    style_mask: StyleMasks = None,
    protect: Protect = None,
    weights: Weights = None,
    timelapse: Timelapse = None,
    timelapse_seconds: TimelapseSeconds = None,
    report: Report = False,
    checkpoint: Annotated[
        Path | None, Parameter(help="Save the run's state in FILE at intervals, to continue after an interruption.")
    ] = None,
    checkpoint_every: Annotated[
        float | None, Parameter(help=f"Seconds between checkpoints. [default: {CHECKPOINT_INTERVAL_S:g}]")
    ] = None,
    resume: Annotated[
        bool, Parameter(negative="", help="Continue from the checkpoint if it exists; the pixels are the same.")
    ] = False,
    on: On = LOCAL,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    **options: Any,
) -> int:
    """Paint CONTENT in the manner of STYLE."""
    log_to_console(verbose=verbose)
    config = load_preset(preset)
    size_px = options.get("size", config.size)
    run = prepare_run(
        resolve_picture(content, size_px),
        [resolve_picture(name, size_px) for name in style],
        config,
        content_masks=content_mask or (),
        style_masks=style_mask or (),
        protect=protect,
        weights=weights,
        **options,
    )
    writer = _checkpoint_writer(checkpoint, checkpoint_every, resume=resume)
    saved = writer.open(resume=resume) if writer is not None else None
    if saved is not None:
        run = replace(run, recorded_plan=saved.recipe.plan)
    with _distribute(run, on, quiet=quiet) as ready:
        outputs, default = RunOutputs(timelapse, timelapse_seconds, report), f"{file_stem(content, *style)}.png"
        return RunCommand(ready, output, default, json, quiet, outputs, writer, saved).execute()


def _checkpoint_writer(path: Path | None, interval_s: float | None, *, resume: bool) -> CheckpointWriter | None:
    """Build the observer that writes checkpoints. Raises `ConfigError` for options without --checkpoint."""
    if path is None:
        if resume or interval_s is not None:
            option = "--resume" if resume else "--checkpoint-every"
            raise ConfigError(f"{option} needs a checkpoint. Name its file with --checkpoint FILE.")
        return None
    return CheckpointWriter(path) if interval_s is None else CheckpointWriter(path, interval_s)


@contextlib.contextmanager
def _distribute(run: Run, on: str, *, quiet: bool) -> Iterator[Run]:
    """Yield the run with its tiles measured where `on` says."""
    if on == LOCAL:
        yield run
        return
    with Driver(SERVICE, on) as driver:
        distributed, actors = distribute_tiles(run, driver)
        if not quiet:
            tile_px, machines = distributed.plan.tile_px, driver.cluster.nodes
            console.print(f"in tiles of {tile_px} px by {actors} actors on {machines} machines")
        yield distributed


@with_options(Config, RunOptions)
def demo(
    *,
    output: Output = None,
    preset: Preset = "painterly",
    timelapse: Timelapse = None,
    timelapse_seconds: TimelapseSeconds = None,
    report: Report = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    **options: Any,
) -> int:
    """Paint the photo that ships with Impasto in a style drawn by its own code."""
    log_to_console(verbose=verbose)
    config = load_preset(preset)
    size_px = options.get("size", config.size)
    photo, painting = (resolve_picture(name, size_px) for name in ("sample:cat", "sample:swirl"))
    run, outputs = prepare_run(photo, painting, config, **options), RunOutputs(timelapse, timelapse_seconds, report)
    return RunCommand(run, output, "impasto_demo.png", json, quiet, outputs).execute()
