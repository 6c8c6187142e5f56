"""The work of `impasto stylize` and `impasto demo`: from parsed parameters to a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from impasto.cli.console import console, log_to_console
from impasto.cli.parameters import CheckpointParameters, OutputParameters
from impasto.cli.run_command import RunCommand, file_stem
from impasto.cli.run_outputs import RunOutputs
from impasto.config.presets import load_preset
from impasto.distributed import LOCAL, Driver
from impasto.distributed.tile_backend import SERVICE, distribute_tiles
from impasto.errors import ConfigError
from impasto.run import Run, prepare_run
from impasto.run.observers import CheckpointWriter
from impasto.samples.sources import SAMPLE, resolve_picture

__all__ = ["paint", "prepare"]


def paint(
    pictures: Sequence[str],
    options: dict[str, Any],
    outputs: OutputParameters,
    checkpoints: CheckpointParameters | None = None,
    on: str = LOCAL,
    *,
    default: str | None = None,
) -> int:
    """Paint the first picture in the style of the others, and return the exit status."""
    log_to_console(verbose=outputs.verbose)
    run = prepare(pictures, outputs.preset, options)
    writer = _checkpoint_writer(checkpoints) if checkpoints is not None else None
    saved = writer.open(resume=checkpoints.resume) if writer is not None and checkpoints is not None else None
    if saved is not None:
        run = replace(run, recorded_plan=saved.recipe.plan)
    others = RunOutputs(outputs.timelapse, outputs.timelapse_seconds, outputs.report)
    with _distribute(run, on, quiet=outputs.quiet) as ready:
        default = default or f"{file_stem(*pictures)}.png"
        command = RunCommand(ready, outputs.output, default, outputs.json, outputs.quiet, others, writer, saved)
        return command.execute()


def prepare(pictures: Sequence[str], preset: str, options: dict[str, Any]) -> Run:
    """Build the run that paints the first picture, a file or `sample:NAME`, in the style of the others."""
    config = load_preset(preset)
    content, *styles = (name if name.startswith(SAMPLE) else resolve_picture(name, config.size) for name in pictures)
    return prepare_run(content, styles, config, **options)


def _checkpoint_writer(given: CheckpointParameters) -> CheckpointWriter | None:
    """Build the observer that writes checkpoints. Raises `ConfigError` for options without --checkpoint."""
    if given.checkpoint is None:
        if given.resume or given.checkpoint_every is not None:
            option = "--resume" if given.resume else "--checkpoint-every"
            raise ConfigError(f"{option} needs a checkpoint. Name its file with --checkpoint FILE.")
        return None
    interval_s = given.checkpoint_every
    return CheckpointWriter(given.checkpoint) if interval_s is None else CheckpointWriter(given.checkpoint, interval_s)


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
