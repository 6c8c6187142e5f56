"""Previews of running jobs: one small JPEG for each job, in files beside the queue.

Any number of programs can show them, and the worker need not know about any of these.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from impasto.core.image import fit, thumbnail
from impasto.core.method import Progress, render, render_small
from impasto.core.tensor_store import TensorStore
from impasto.files import atomic_write
from impasto.images import encode_jpeg
from impasto.run import Run

__all__ = ["PreviewWriter", "Previews"]

LONG_SIDE_PX, QUALITY = 640, 80

MIN_INTERVAL_S = 0.25
"""Minimum interval between previews."""

MAX_TIME_SHARE = 0.02
"""Maximum share of the worker's time that previews may take."""


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


class PreviewWriter:
    """An observer that writes one job's preview, as often as its cost allows."""

    def __init__(self, previews: Previews, job: int) -> None:
        self.previews, self.job = previews, job
        self.next_s = 0.0

    def __call__(self, run: Run, progress: Progress) -> None:
        """Write a preview of this step if enough time has passed, or if it is the last step."""
        started_s = time.monotonic()
        if started_s < self.next_s and not progress.is_last:
            return
        self.previews.write(self.job, render_preview(progress, run.engine.store))
        cost_s = time.monotonic() - started_s
        self.next_s = started_s + max(MIN_INTERVAL_S, cost_s / MAX_TIME_SHARE)


def render_preview(progress: Progress, store: TensorStore) -> bytes:
    """Return a small JPEG of the picture as it would be if the run ended at this step."""
    inputs = progress.inputs
    if inputs.finish is not None or inputs.paint_mask is not None:
        small = thumbnail(render(progress, store)[1], LONG_SIDE_PX)
    else:
        height, width = progress.image.shape[2:]
        small = render_small(progress, *fit(height, width, LONG_SIDE_PX, enlarge=False))
    return encode_jpeg(small, quality=QUALITY)
