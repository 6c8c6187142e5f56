"""Checkpoints of a run on the command line: written now and then, and gone on from."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from impasto.cli.progress import errors
from impasto.core.method import Progress
from impasto.errors import ConfigError, OutputError
from impasto.files import require_writable
from impasto.run.checkpoint import Checkpoint, read_checkpoint
from impasto.run.run import Run

__all__ = ["EVERY_S", "Checkpointing"]

EVERY_S = 60.0
"""Between checkpoints, where nothing else is asked for."""


@dataclass
class Checkpointing:
    """Where a run keeps its state, how often, and what it goes on from. Without a path nothing is kept."""

    path: Path | None = None
    resume: bool = False
    every_s: float | None = None
    since: Checkpoint | None = None
    last_s: float = field(default_factory=time.monotonic)

    def open(self) -> None:
        """Read what there is to go on from. Raises `ConfigError`, `OutputError`, `RecipeError`."""
        if self.path is None:
            if self.resume:
                raise ConfigError("--resume goes on from a checkpoint. Say which with --checkpoint FILE.")
            if self.every_s is not None:
                raise ConfigError("--checkpoint-every is of checkpoints. Say where they go with --checkpoint FILE.")
            return
        if self.every_s is not None and not self.every_s >= 0:
            raise ConfigError(f"--checkpoint-every {self.every_s:g} is out of range. Give seconds, 0 or more.")
        require_writable(self.path)
        if self.path.exists():
            if not self.resume:
                raise OutputError(f"{self.path} is there already. Go on from it with --resume, or remove it.")
            self.since = read_checkpoint(self.path)

    def saw(self, progress: Progress, session: Run) -> None:
        """Keep a step if it is time. A place that fails now is told of, and costs nothing else."""
        every_s = EVERY_S if self.every_s is None else self.every_s
        if self.path is not None and time.monotonic() - self.last_s >= every_s and not progress.is_last:
            self.keep(progress, session)

    def keep(self, progress: Progress, session: Run) -> None:
        """Keep a step."""
        if self.path is None:
            return
        try:
            session.keep(progress, self.path)
        except OutputError as error:
            errors.print(f"impasto: {error}")
        self.last_s = time.monotonic()

    def done(self) -> None:
        """The picture is written: nothing is left to go on from."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
