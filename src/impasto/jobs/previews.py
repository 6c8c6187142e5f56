"""Previews of running jobs: one small JPEG for each job, in files beside the queue.

Any number of programs can show them, and the worker need not know about any of these.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from impasto.files import atomic_write
from impasto.run import Observer
from impasto.run.previews import PreviewObserver

__all__ = ["Previews"]

LONG_SIDE_PX = 640


class Previews:
    """The latest preview of each job, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, job: int) -> Path:
        """Return the path of a job's preview, which need not exist."""
        return self.folder / f"{job}.jpg"

    def version(self, job: int) -> int:
        """Return a number that increases with every preview of a job; 0 if there is none."""
        try:
            return self.path(job).stat().st_mtime_ns // 1000  # JavaScript has no 64-bit integers
        except OSError:
            return 0

    def write(self, job: int, data: bytes) -> None:
        """Replace a job's preview. A full disk is ignored: the job can continue without previews."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(exist_ok=True)
            with atomic_write(self.path(job)) as temporary:
                temporary.write_bytes(data)

    def remove(self, job: int) -> None:
        """Remove a job's preview."""
        self.path(job).unlink(missing_ok=True)

    def observer(self, job: int) -> Observer:
        """Return an observer that writes the previews of a job."""
        return PreviewObserver(lambda run, progress, data: self.write(job, data), LONG_SIDE_PX)
