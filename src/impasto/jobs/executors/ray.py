"""Painters on a cluster, for the jobs of a queue that stays where it is: `jobs.workers` over many machines.

This process has the claims and writes into the queue; painters get pictures, and send back reports, checkpoints and
finished files. A painter that is lost with its machine is replaced where there is room, and its job goes on from its
checkpoint with whoever is free first.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from impasto.distributed.connection import Cluster, ClusterError, require_version, with_threads
from impasto.distributed.health import LOST
from impasto.errors import ImpastoError, one_line
from impasto.files import atomic_write
from impasto.jobs import JobStore
from impasto.jobs.errors import JobError, LostJobError
from impasto.jobs.executors.ray_cache import RayCache
from impasto.jobs.executors.ray_worker import RayWorker, Sent
from impasto.jobs.model import Claim, JobEnded, JobUpdate, StepsDone
from impasto.jobs.painter import CHECKPOINT_INTERVAL_S
from impasto.jobs.worker import fail_job, save_update, worker_name
from impasto.weights import load

__all__ = ["RayExecutor"]

LOOK_S, LEAVE_S = 0.2, 5.0
PICTURES = 64
"""That are kept in the cluster for the next job: styles are asked for again and again."""


@dataclass(eq=False)
class _Easel:
    """A place where one is painted at a time: the painter there, if one was hired, and the job that it has."""

    name: str
    painter: Any = None
    claim: Claim | None = None


class RayExecutor:
    """`count` painters of `threads` processors each, while this is open."""

    def __init__(
        self,
        store: JobStore,
        cluster: Cluster,
        count: int,
        *,
        threads: int,
        networks: Iterable[str],
        keep_s: float = CHECKPOINT_INTERVAL_S,
    ) -> None:
        self.store, self.keep_s, self.pulse = store, keep_s, cluster.pulse
        self._ready: set[str] = set()
        self._error: ImpastoError | None = None
        self._over = threading.Event()
        self._pictures: OrderedDict[str, Any] = OrderedDict()
        self._weights = {name: ray.put(load(name)) for name in networks}
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self.shelf = ray.remote(RayCache).options(num_cpus=0, scheduling_strategy=here).remote()
        # Several share a card alike: with 2/3 of two cards a third painter would find no place.
        share = 1 / math.ceil(count / cluster.gpus) if cluster.gpus else 0
        self._hire = ray.remote(RayWorker).options(
            num_cpus=threads, num_gpus=share, scheduling_strategy="SPREAD", runtime_env=with_threads(threads)
        )
        self._easels = [_Easel(f"{worker_name(os.getpid())}/{number}") for number in range(count)]
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> RayExecutor:
        for job in self.store.jobs():
            if job.state == "running" and job.worker is not None and _is_dead(job.worker):
                self.store.expire_worker(job.worker)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave every job where it stands, exactly."""
        self._over.set()
        # Where the cluster is gone, what it was asked last may never be answered.
        self._thread.join(LEAVE_S if self._error is not None else None)

    @property
    def workers(self) -> int:
        """The number of workers that have started."""
        return len(self._ready)

    def check(self) -> None:
        """Raise `ImpastoError` if the cluster is lost: the thread of the workers may be waiting for Ray."""
        if self._error is None:
            try:
                self.pulse.require()
            except ClusterError as error:
                self._error = error
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            self._paint()
        except ImpastoError as error:
            self._error = self._error or error
        except Exception as error:  # Ray's own come from all over it, and nobody paints any more
            self._error = self._error or ClusterError(
                f"The cluster is gone: {one_line(error)[:200].rstrip('.')}. {LOST}"
            )
        for easel in self._easels:
            if easel.claim is not None:
                with contextlib.suppress(JobError):  # then its lease ends by itself
                    self.store.release(easel.claim)

    def _paint(self) -> None:
        waiting = {self._begun(easel): easel for easel in self._easels}
        free: list[_Easel] = []
        renewed = time.monotonic()
        while True:
            self.pulse.require()
            ready, _ = ray.wait(list(waiting), timeout=LOOK_S) if waiting else ([], [])
            for reference in ready:
                easel = waiting.pop(reference)
                following = self._heard(easel, reference)
                if following is None:
                    free.append(easel)
                else:
                    waiting[following] = easel
            if self._over.is_set():
                if not any(easel.claim for easel in self._easels):
                    return
            else:
                for easel in list(free):
                    easel.claim = self.store.claim(easel.name)
                    if easel.claim is None:
                        break
                    free.remove(easel)
                    waiting[self._sent(easel, easel.claim)] = easel
            if not waiting:
                self._over.wait(LOOK_S)
            if time.monotonic() - renewed >= self.store.lease_s / 3:
                self._renew()
                renewed = time.monotonic()

    def _begun(self, easel: _Easel) -> Any:
        """A painter for an easel, when there is room for one; it says that it is ready."""
        easel.painter = self._hire.remote(self._weights, self.shelf)
        return easel.painter.ready.remote()

    def _heard(self, easel: _Easel, reference: Any) -> Any:
        """What a painter said; what it is to say next, or None: it is free."""
        claim = easel.claim
        try:
            said = ray.get(reference)
        except RayTaskError as error:
            if claim is None:
                raise ClusterError(f"A painter cannot begin: {one_line(error.cause)[:300]}") from error
            fail_job(self.store, claim, error.cause)
            easel.claim = None
            return None
        except RayError:  # it is gone, or its machine
            easel.claim = None
            self.store.expire_worker(easel.name)
            return self._begun(easel)
        if claim is None or not isinstance(said, Sent):
            require_version(*said)
            self._ready.add(easel.name)
            return None
        try:
            asked = save_update(self.store, claim, self._received(said))
        except LostJobError:  # taken over, or removed: nothing was written
            asked = None
        except (ImpastoError, OSError) as error:
            fail_job(self.store, claim, error)
            asked = None
        if asked is None:
            easel.claim = None
            return None
        return easel.painter.go.remote(replace(asked, pause=asked.pause or self._over.is_set()))

    def _sent(self, easel: _Easel, claim: Claim) -> Any:
        """Give a job to a painter. What is missing fails there, as it does anywhere."""
        job = claim.job
        there = [role for role, file in job.inputs.items() if self.store.files.path(str(file["sha256"])).is_file()]
        pictures = [self._picture(str(job.inputs[role]["sha256"])) for role in there]
        since = self.store.checkpoint_folder / job.checkpoint if job.checkpoint is not None else None
        checkpoint = since.read_bytes() if since is not None and since.is_file() else None
        return easel.painter.begin.remote(job, self.keep_s, there, checkpoint, *pictures)

    def _picture(self, sha256: str) -> Any:
        if sha256 not in self._pictures:
            self._pictures[sha256] = ray.put(self.store.files.path(sha256).read_bytes())
            if len(self._pictures) > PICTURES:
                self._pictures.popitem(last=False)
        self._pictures.move_to_end(sha256)
        return self._pictures[sha256]

    def _received(self, said: Sent) -> JobUpdate:
        """The same report, its files among the queue's."""
        places = {name: self.store.checkpoint_folder / name for name in said.files}
        for name, data in said.files.items():
            with atomic_write(places[name]) as temporary:
                temporary.write_bytes(data)
        match said.report:
            case StepsDone(checkpoint=Path() as path):
                return replace(said.report, checkpoint=places[path.name])
            case JobEnded(picture=Path() as path):
                return replace(said.report, picture=places[path.name])
        return said.report

    def _renew(self) -> None:
        """Say that the claims are alive: a step of a large picture takes longer than a lease."""
        for easel in self._easels:
            if easel.claim is not None:
                with contextlib.suppress(JobError):  # found out when its painter is heard
                    self.store.renew(easel.claim)


def _is_dead(worker: str) -> bool:
    """Whether it was a painter of a process of this machine that is gone."""
    host, _, rest = worker.rpartition(":")
    pid, _, number = rest.partition("/")
    return host == socket.gethostname() and bool(number) and not psutil.pid_exists(int(pid))
