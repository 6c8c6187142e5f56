"""Workers on a Ray cluster, for a queue on this machine. A driver process claims the jobs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from impasto.distributed.driver import Driver
from impasto.errors import ImpastoError
from impasto.jobs.model import Claim
from impasto.jobs.painter import CHECKPOINT_INTERVAL_S
from impasto.jobs.store import JobStore
from impasto.jobs.worker import worker_name

__all__ = ["RayExecutor", "StartWorkers", "WorkersReady"]

ADVICE = "Checkpoints are kept: run the same command again, with or without --on, to continue from them."


@dataclass(frozen=True)
class StartWorkers:
    """A request to paint a queue's jobs by `count` workers, which share `gpus` cards."""

    folder: Path
    count: int
    threads: int
    gpus: int
    networks: tuple[str, ...]
    checkpoint_interval_s: float


@dataclass(frozen=True)
class WorkersReady:
    """A message with the number of workers that have started."""

    count: int


class RayExecutor:
    """Runs `count` workers of `threads` threads on a driver's cluster while it is open."""

    def __init__(
        self,
        store: JobStore,
        driver: Driver,
        count: int,
        *,
        threads: int,
        gpus: int,
        networks: Collection[str],
        checkpoint_interval_s: float = CHECKPOINT_INTERVAL_S,
    ) -> None:
        self.store, self.driver = store, driver
        self._request = StartWorkers(store.folder, count, threads, gpus, tuple(networks), checkpoint_interval_s)
        self._workers = 0

    def __enter__(self) -> RayExecutor:
        self.driver.send(self._request)
        return self

    def __exit__(self, *_: object) -> None:
        """Release all jobs after their current step. If the driver is dead, release its jobs here."""
        self.driver.close()
        prefix = worker_name(self.driver.pid)
        for job in self.store.jobs():
            if job.state == "running" and job.worker is not None and job.worker.startswith(f"{prefix}/"):
                self.store.release(Claim(job, job.attempt))

    @property
    def workers(self) -> int:
        """The number of workers that have started."""
        return self._workers

    def check(self) -> None:
        """Raise `ClusterError` if the cluster is lost, or a worker cannot start."""
        try:
            while (message := self.driver.receive(0.0)) is not None:
                if isinstance(message, WorkersReady):
                    self._workers = message.count
        except ImpastoError as error:
            raise type(error)(f"{error} {ADVICE}") from error
