"""One run on the command line: check outputs first, show progress, obey Ctrl-C, lose nothing."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from impasto import images
from impasto.cli.console import console, format_duration, pull_missing
from impasto.cli.progress import ProgressView
from impasto.cli.run_outputs import RunOutputs
from impasto.cli.signals import SignalCatcher, catch_signals
from impasto.config.roles import pictures_by_role
from impasto.core.method import Progress
from impasto.errors import OutputError
from impasto.files import require_distinct
from impasto.process import keep_freed_memory
from impasto.run import Observer, Result, Run, drive
from impasto.run.checkpoint import Checkpoint
from impasto.run.loop import StopCondition
from impasto.run.observers import CheckpointWriter, SnapshotWriter, unused_path
from impasto.samples.sources import SAMPLE

__all__ = ["RunCommand", "file_stem"]

MAX_STEM_BYTES = 180
"""File names may have 255 bytes; a suffix and a number are added to the stem."""

ANNOUNCED_WORK = 100e6
"""Pixels times steps above which a run is announced with its estimate: about ten minutes on two cores."""


def file_stem(*names: str) -> str:
    """Return a short, safe file stem made from the names of inputs."""
    joined = "_".join(Path(name.removeprefix(SAMPLE)).stem[:80] for name in names)
    clean = re.sub(r"[^\w.+-]", "_", joined).lstrip("-")
    return clean.encode()[:MAX_STEM_BYTES].decode(errors="ignore") or "picture"


@dataclass
class RunCommand:
    """A run on the command line, saved as `output`, or under an unused name like `default`."""

    run: Run
    output: Path | None
    default: str
    json_output: bool = False
    quiet: bool = False
    outputs: RunOutputs = field(default_factory=RunOutputs)
    checkpoints: CheckpointWriter | None = None
    checkpoint: Checkpoint | None = None
    _is_stopping: bool = field(default=False, init=False)

    def execute(self, stop: StopCondition | None = None) -> int:
        """Carry out the run and save its picture.

        Returns 0, or 128 plus the number of the signal that stopped it; the picture so far is saved then.
        """
        keep_freed_memory()
        with catch_signals() as catcher, ProgressView(quiet=self.quiet) as view:
            self._prepare()

            def is_over(progress: Progress) -> bool:
                return self._is_stopping or (stop is not None and stop(progress))

            result = drive(self.run, self._observers(catcher, view), is_over, checkpoint=self.checkpoint)
            saved, others = self._save(result)
        _print_result(result, saved, others, json_output=self.json_output, quiet=self.quiet)
        return 128 + catcher.signal if catcher.signal else 0

    def _path(self) -> Path:
        """Return the path to write; an unused one is looked for anew, as another process may have taken it."""
        return self.output or unused_path(Path(self.default))

    def _prepare(self) -> None:
        """Check all files before anything is downloaded or painted, then say what a large run will take."""
        path = self._path()
        height, width = self.run.sizes.frame.canvas
        images.require_output(path, bits=self.run.options.bits, height=height, width=width, profile=self.run.profile)
        written = [path, *self.outputs.check(path), *([self.checkpoints.path] if self.checkpoints else [])]
        pictures = pictures_by_role(self.run.opened_inputs).values()
        require_distinct(written, map(images.get_path, [*pictures, self.run.inputs.weights]))
        if self.run.config.bleed_alpha and not images.keeps_hidden_colors(path, self.run.profile):
            self._say(f"impasto: {path} keeps no colors of transparent pixels, so --bleed-alpha is lost. Use .png")
        if not self.quiet:
            _announce(self.run)
        if self.run.inputs.weights is None:
            pull_missing(self.run.config.network, quiet=self.quiet)
        if self.checkpoint is not None and self.outputs.film is not None:
            self._say("impasto: the film starts at the checkpoint")

    def _observers(self, catcher: SignalCatcher, view: ProgressView) -> list[Observer]:
        """Return the observers of the run, in the order in which they see a step."""
        observers: list[Observer] = [_defer_signals(catcher), view.on_step, self.outputs.observe]
        if self.checkpoints is not None:
            observers.append(self.checkpoints)
        if self.run.options.save_every:
            observers.append(SnapshotWriter(self.output or Path(self.default), self.run.options.save_every))

        def on_signal(run: Run, progress: Progress) -> None:
            # Read once a step: a signal that came after this would end the run without a checkpoint.
            self._is_stopping = bool(catcher.signal)
            if self._is_stopping and not progress.is_last:
                self._say("stopping: saving the picture so far (press again to discard it)")
                if self.checkpoints is not None:
                    self.checkpoints.write(run)

        return [*observers, on_signal]

    def _save(self, result: Result) -> tuple[Path, list[Path]]:
        """Save the picture and what belongs beside it; return their paths."""
        saved = _save_picture(result, self._path())
        if self.checkpoints is not None and result.recipe.stopped is None:
            self.checkpoints.remove()
        try:
            return saved, self.outputs.write(result, self.run, saved)
        except OutputError as error:
            raise OutputError(f"{error} The picture was saved as {saved}") from error

    def _say(self, message: str) -> None:
        if not self.quiet:
            console.print(message)


def _defer_signals(catcher: SignalCatcher) -> Observer:
    """Return an observer that lets signals wait for the next step, once there is a first one."""

    def observe(run: Run, progress: Progress) -> None:
        catcher.deferring = True

    return observe


def _announce(run: Run) -> None:
    """Plan the run, which refuses one that cannot fit, and print the estimate of a large one."""
    plan, work, note = run.plan, run.workload, run.print_note
    if note is not None and not note.is_low and not logging.getLogger("impasto").isEnabledFor(logging.INFO):
        console.print(note.text)  # the log has it otherwise
    height, width = run.size
    if work.pixels * work.config.iterations < ANNOUNCED_WORK and not plan.tile_px:
        return
    expected = run.estimate()
    disk = f", {expected.disk_bytes / 1e9:.0f} GB of disk" if plan.on_disk else ""
    tiles = f", in tiles of {plan.tile_px} px" if plan.tile_px else ""
    console.print(
        f"{width}x{height} px: about {format_duration(expected.seconds)}, "
        f"{expected.memory_bytes / 1e9:.1f} GB of memory{disk}{tiles}"
    )


def _save_picture(result: Result, path: Path) -> Path:
    """Save the picture; if that fails, save it in a temporary folder and say where."""
    try:
        return result.save(path)
    except OutputError as error:
        rescued = _save_elsewhere(result, path.name)
        if rescued is None:
            raise
        raise OutputError(f"{error} The picture was saved as {rescued}") from error


def _save_elsewhere(result: Result, name: str) -> Path | None:
    with contextlib.suppress(OSError):
        folder = Path(tempfile.mkdtemp(prefix="impasto-"))
        try:
            return result.save(folder / name)
        except OSError:
            folder.rmdir()
    return None


def _print_result(result: Result, path: Path, others: Sequence[Path], *, json_output: bool, quiet: bool) -> None:
    height, width = result.image.shape[2:]
    recipe, losses = result.recipe, result.losses
    if json_output:
        report = {
            "output": str(path),
            "others": [str(other) for other in others],
            "width": width,
            "height": height,
            "losses": losses,
            "iterations": result.iterations,
            "evaluations": result.evaluations,
            "seconds": round(result.seconds, 3),
            "seed": recipe.config.seed,
            "device": recipe.plan.device,
            "network": recipe.config.network,
            "weights_sha256": recipe.weights_sha256,
            "config": recipe.config.model_dump(mode="json"),
            "resolved": recipe.resolved.model_dump(mode="json"),
            "stopped": recipe.stopped.model_dump() if recipe.stopped else None,
        }
        print(json.dumps(report))
    elif not quiet:
        print(
            f"{path}  {width}x{height} px in {result.seconds:.0f} s  "
            f"total {losses['total']:.4g} = content {losses['content']:.4g}, style {losses['style']:.4g}"
        )
        for other in others:
            print(other)
