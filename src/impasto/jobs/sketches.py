"""Sketches: small, quick pictures, painted only while no other picture waits.

They have a queue of their own, in a folder of the main one, so that they appear in no list of jobs. A worker that has
nothing to do paints them, with the networks that it has loaded already.
"""

from __future__ import annotations

from collections.abc import Callable

from impasto.core.method import Progress
from impasto.jobs.model import Job
from impasto.jobs.store import JobStore
from impasto.jobs.worker import Worker

__all__ = ["SketchWorker", "find_sketches", "open_sketches"]

FOLDER = "sketches"


def open_sketches(store: JobStore) -> JobStore:
    """Open the queue of sketches that belongs to a queue. It is created at the first use."""
    return JobStore(store.folder / FOLDER)


def find_sketches(store: JobStore) -> JobStore | None:
    """Return the queue of sketches, or None if there has been no sketch yet."""
    return open_sketches(store) if (store.folder / FOLDER).is_dir() else None


class SketchWorker:
    """Paints sketches for a worker while its queue is idle.

    As soon as a job waits there, or `stopped` returns True, the sketch goes back to its queue with a checkpoint.
    """

    def __init__(self, worker: Worker, stopped: Callable[[], bool] = lambda: False) -> None:
        self.worker, self.stopped = worker, stopped
        self._sketcher: Worker | None = None

    def run_one(self) -> Job | None:
        """Paint a sketch until it ends. Return it, or None if none is ready or the main queue is busy."""
        if self.worker.store.is_busy() or (sketcher := self._find()) is None:
            return None
        sketcher.stopping = False
        return sketcher.run_one()

    def revision(self) -> int:
        """Return a number that increases with every change of any sketch."""
        sketcher = self._find()
        return sketcher.store.revision() if sketcher is not None else -1

    def _find(self) -> Worker | None:
        if self._sketcher is None and (store := find_sketches(self.worker.store)) is not None:
            # Without `pull_weights`: nothing is downloaded for a sketch.
            self._sketcher = Worker(store, self.worker.name, observer=self._observe, cache=self.worker.cache)
        return self._sketcher

    def _observe(self, job: Job, progress: Progress) -> None:
        if self._sketcher is not None:
            self._sketcher.stopping = self.stopped() or self.worker.store.is_busy()
