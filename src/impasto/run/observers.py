"""Observers that write files while a run goes on: checkpoints and snapshots."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from impasto import images
from impasto.config.run_options import CHECKPOINT_INTERVAL_S
from impasto.core.method import Progress, render
from impasto.core.tensor_store import RamStore
from impasto.errors import ConfigError, OutputError
from impasto.files import require_writable
from impasto.run.checkpoint import Checkpoint, read_checkpoint
from impasto.run.run import Run

__all__ = ["CheckpointWriter", "SnapshotWriter", "unused_path"]

logger = logging.getLogger("impasto")


@dataclass
class CheckpointWriter:
    """An observer that writes a checkpoint at intervals. A write that fails is logged and does not stop the run."""

    path: Path
    interval_s: float = CHECKPOINT_INTERVAL_S
    last_s: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if not self.interval_s >= 0:
            raise ConfigError(f"--checkpoint-every {self.interval_s:g} is out of range. Give 0 seconds or more.")

    def open(self, *, resume: bool) -> Checkpoint | None:
        """Return the checkpoint to resume from, if there is one. Raises `OutputError`, `RecipeError`."""
        require_writable(self.path)
        if not self.path.exists():
            return None
        if not resume:
            raise OutputError(f"{self.path} exists already. Continue from it with --resume, or remove it.")
        return read_checkpoint(self.path)

    def __call__(self, run: Run, progress: Progress) -> None:
        """Write a checkpoint if the interval has passed."""
        if time.monotonic() - self.last_s >= self.interval_s and not progress.is_last:
            self.write(run)

    def write(self, run: Run) -> None:
        """Write a checkpoint of the latest step."""
        try:
            run.save_checkpoint(self.path)
        except OutputError as error:
            logger.warning("%s", error)
        self.last_s = time.monotonic()

    def remove(self) -> None:
        """Remove the checkpoint of a finished run."""
        self.path.unlink(missing_ok=True)


@dataclass
class SnapshotWriter:
    """An observer that saves the picture every `every` steps, beside `output`, under names with the step's number."""

    output: Path
    every: int
    steps: int = 0

    def __call__(self, run: Run, progress: Progress) -> None:
        """Save a snapshot if it is due."""
        self.steps += 1
        if self.steps % self.every:
            return
        _, pixels = render(progress, RamStore())
        path = unused_path(self.output.with_name(f"{self.output.stem}-{self.steps:04d}{self.output.suffix}"))
        try:
            images.save(
                path,
                *run.place_on_paper(pixels, progress.inputs),
                quality=run.options.quality,
                dpi=run.config.dpi,
                profile=run.profile,
                intent=run.options.intent,
                peak=progress.inputs.content.peak,
            )
        except OutputError as error:  # a snapshot that fails must not lose the run
            logger.warning("%s", error)


def unused_path(path: Path) -> Path:
    """Return `path`, or the first of `path_2`, `path_3` … that does not exist."""
    candidate, number = path, 1
    while os.path.lexists(candidate):
        number += 1
        candidate = path.with_name(f"{path.stem}_{number}{path.suffix}")
    return candidate
