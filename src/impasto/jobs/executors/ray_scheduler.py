"""The driver process of `RayExecutor`: gives the queue's jobs to workers on a Ray cluster.

This process holds the claims and writes to the queue. Workers receive pictures, and send back updates, checkpoints and
finished files. A worker that is lost with its machine is replaced if there is room; another one continues its job from
the last checkpoint.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from impasto.distributed.connection import Cluster, ClusterError, actor_environment, require_version
from impasto.distributed.driver import Channel, ClosedChannelError, serve
from impasto.distributed.ray_cache import RayCache
from impasto.errors import ImpastoError, one_line
from impasto.files import atomic_write
from impasto.jobs.executors.ray import StartWorkers, WorkersReady
from impasto.jobs.executors.ray_worker import RayWorker, Sent
from impasto.jobs.model import Claim, FramesDone, Job, JobEnded, JobError, JobUpdate, LostJobError, StepsDone
from impasto.jobs.store import JobStore
from impasto.jobs.worker import fail_job, save_update, worker_name
from impasto.weights import load

__all__ = ["JobScheduler", "schedule_jobs"]

POLL_S = 0.2

MAX_CACHED_PICTURES = 64
"""Pictures to keep in the cluster's memory for later jobs. Styles are used again and again."""


@dataclass(eq=False)
class Slot:
    """A worker slot: its actor, the actor's pending call, and the current job."""

    name: str
    actor: Any = None
    call: Any = None
    claim: Claim | None = None


def schedule_jobs(channel: Channel, _: Cluster) -> None:
    """Paint jobs until the channel is closed, then release them: the driver's service."""
    request: StartWorkers = channel.receive()
    scheduler = JobScheduler(JobStore(request.folder), request)
    ready = 0

    def closing() -> bool:
        nonlocal ready
        if scheduler.ready != ready:
            ready = scheduler.ready
            with contextlib.suppress(ClosedChannelError):
                channel.send(WorkersReady(ready))
        try:
            channel.receive(0.0)
        except ClosedChannelError:
            return True
        return False

    scheduler.run(closing)


class JobScheduler:
    """Paints the jobs of a queue on the cluster that this process is connected to."""

    def __init__(self, store: JobStore, request: StartWorkers) -> None:
        self.store, self.request = store, request
        self.ready = 0
        self._closing = False
        self._renewed_s = time.monotonic()
        self._pictures: OrderedDict[str, Any] = OrderedDict()
        self._weights = {name: ray.put(load(name)) for name in request.networks}
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self.cache = ray.remote(RayCache).options(num_cpus=0, scheduling_strategy=here).remote()
        # Equal shares of a card: with 2/3 of two cards each, a third worker would find no place.
        gpu_share = 1 / math.ceil(request.count / request.gpus) if request.gpus else 0
        self._worker_class = ray.remote(RayWorker).options(
            num_cpus=request.threads,
            num_gpus=gpu_share,
            scheduling_strategy="SPREAD",
            runtime_env=actor_environment(request.threads),
        )
        self.slots = [Slot(f"{worker_name(os.getpid())}/{number}") for number in range(request.count)]

    def run(self, closing: Callable[[], bool]) -> None:
        """Paint jobs until `closing` returns True and all jobs are released."""
        for worker in filter(_is_dead, self.store.busy_workers()):
            self.store.expire_worker(worker)
        for slot in self.slots:
            self._start_actor(slot)
        try:
            while not (self._closing and not any(slot.claim for slot in self.slots)):
                self._closing = self._closing or closing()
                self._handle_answers()
                if not self._closing:
                    self._claim_jobs()
                self._renew_leases()
        finally:
            for slot in self.slots:
                if slot.claim is not None:
                    with contextlib.suppress(JobError):  # else the lease expires
                        self.store.release(slot.claim)

    def _start_actor(self, slot: Slot) -> None:
        """Start a worker once the cluster has room for it."""
        slot.actor = self._worker_class.remote(self._weights, self.cache)
        slot.call = slot.actor.ready.remote()

    def _handle_answers(self) -> None:
        calls = {slot.call: slot for slot in self.slots if slot.call is not None}
        if not calls:
            time.sleep(POLL_S)
            return
        answered, _ = ray.wait(list(calls), timeout=POLL_S)
        for call in answered:
            slot = calls[call]
            slot.call = None
            try:
                self._handle(slot, ray.get(call))
            except RayTaskError as error:  # raised by the worker's code
                if slot.claim is None:
                    raise ClusterError(f"A worker cannot start: {one_line(error.cause)[:300]}") from error
                fail_job(self.store, slot.claim, error.cause)
                slot.claim = None
            except RayError:  # the worker or its machine died
                slot.claim = None
                self.store.expire_worker(slot.name)
                self._start_actor(slot)

    def _handle(self, slot: Slot, answer: Any) -> None:
        """Save a worker's update and call the worker again, unless its job has ended."""
        claim = slot.claim
        if claim is None or not isinstance(answer, Sent):
            require_version(*answer)
            self.ready += 1
            return
        slot.claim = None
        try:
            command = save_update(self.store, claim, self._save_files(claim.job, answer))
        except LostJobError:  # claimed by another worker, or removed: nothing was written
            return
        except (ImpastoError, OSError) as error:
            fail_job(self.store, claim, error)
            return
        if command is not None:
            slot.claim = claim
            slot.call = slot.actor.go.remote(replace(command, pause=command.pause or self._closing))

    def _claim_jobs(self) -> None:
        for slot in self.slots:
            if slot.call is None:
                slot.claim = self.store.claim(slot.name)
                if slot.claim is None:
                    return
                slot.call = self._begin(slot.actor, slot.claim)

    def _begin(self, actor: Any, claim: Claim) -> Any:
        """Give a job to a worker. Missing files fail there, as on any worker."""
        job = claim.job
        files = {role: str(file["sha256"]) for role, file in job.inputs.items()}
        roles = [role for role, sha256 in files.items() if self.store.files.path(sha256).is_file()]
        pictures = [self._put_picture(files[role]) for role in roles]
        path = self.store.checkpoint_folder / job.checkpoint if job.checkpoint is not None else None
        checkpoint = path.read_bytes() if path is not None and path.is_file() else None
        frames = {path.name: path.read_bytes() for path in self._frames_of(job)}
        return actor.begin.remote(job, self.request.checkpoint_interval_s, roles, checkpoint, frames, *pictures)

    def _frames_of(self, job: Job) -> Iterable[Path]:
        """Return the frames of a clip, or of one of its shots, that are done."""
        folder = self.store.frame_folder(job.clip)
        if job.shot is None:
            return folder.glob("*.png")
        first, end = job.shot
        return (path for number in range(first, end) if (path := folder / f"{number + 1:06}.png").exists())

    def _put_picture(self, sha256: str) -> Any:
        """Return a reference to a file in the cluster's memory."""
        if sha256 not in self._pictures:
            self._pictures[sha256] = ray.put(self.store.files.path(sha256).read_bytes())
            if len(self._pictures) > MAX_CACHED_PICTURES:
                self._pictures.popitem(last=False)
        self._pictures.move_to_end(sha256)
        return self._pictures[sha256]

    def _save_files(self, job: Job, answer: Sent) -> JobUpdate:
        """Save the files of an update beside the queue, and return the update with their new paths."""
        is_clip = isinstance(answer.update, FramesDone)
        folder = self.store.frame_folder(job.clip) if is_clip else self.store.checkpoint_folder
        folder.mkdir(parents=True, exist_ok=True)
        paths = {name: folder / name for name in answer.files}
        for name, data in answer.files.items():
            with atomic_write(paths[name]) as temporary:
                temporary.write_bytes(data)
        match answer.update:
            case StepsDone(checkpoint=Path() as path):
                return replace(answer.update, checkpoint=paths[path.name])
            case FramesDone():
                return replace(answer.update, files=tuple(paths.values()))
            case JobEnded(picture=Path() as path):
                return replace(answer.update, picture=paths[path.name])
        return answer.update

    def _renew_leases(self) -> None:
        """Renew the leases of all jobs: one step of a large picture takes longer than a lease."""
        if time.monotonic() - self._renewed_s < self.store.lease_s / 3:
            return
        self._renewed_s = time.monotonic()
        for slot in self.slots:
            if slot.claim is not None:
                with contextlib.suppress(JobError):  # noticed at the worker's next update
                    self.store.renew(slot.claim)


def _is_dead(worker: str) -> bool:
    """Return True for a worker of an earlier driver process on this machine that has died."""
    host, _, rest = worker.rpartition(":")
    pid, _, number = rest.partition("/")
    return host == socket.gethostname() and bool(number) and not psutil.pid_exists(int(pid))


if __name__ == "__main__":
    serve(schedule_jobs)
