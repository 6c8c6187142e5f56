"""A worker of the queue: claims jobs, paints them, and saves the updates.

A job's picture is the same file, to the byte, that `stylize` writes, however often its workers die: the plan of the
first attempt is saved with the job, and a resumed checkpoint continues exactly.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from impasto.config import Config, RunOptions
from impasto.core.method import Progress
from impasto.engine.memory import Workload
from impasto.engine.planning import make_plan
from impasto.errors import ImpastoError, one_line
from impasto.files import atomic_write
from impasto.jobs.clip_painter import make_painter
from impasto.jobs.model import (
    Claim,
    FramesDone,
    Job,
    JobCommand,
    JobEnded,
    JobError,
    JobUpdate,
    LostJobError,
    PlanChosen,
    StepsDone,
)
from impasto.jobs.painter import CHECKPOINT_INTERVAL_S
from impasto.jobs.store import JobStore
from impasto.run import ModelCache, Run

__all__ = ["Worker", "fail_job", "save_update", "worker_name"]


def worker_name(pid: int) -> str:
    """Return the name of the worker in a process on this machine."""
    return f"{socket.gethostname()}:{pid}"


class Worker:
    """Paints jobs of the queue, one at a time, and keeps networks loaded in between.

    `observer` is called after every step. `pull_weights` downloads the weights of a network if they are missing. Set
    `stopping` to release the current job after its current step. Workers of one process may share a `cache`.
    """

    def __init__(
        self,
        store: JobStore,
        name: str,
        *,
        observer: Callable[[Job, Progress], None] | None = None,
        pull_weights: Callable[[str], None] | None = None,
        checkpoint_interval_s: float = CHECKPOINT_INTERVAL_S,
        cache: ModelCache | None = None,
    ) -> None:
        self.store, self.name, self.observer, self.pull_weights = store, name, observer, pull_weights
        self.checkpoint_interval_s = checkpoint_interval_s
        self.cache = cache or ModelCache(cache_measurements=True)
        self.stopping = False

    def warm_up(self) -> None:
        """Load the default network and benchmark this machine, to start the first job sooner."""
        config = Config()
        with contextlib.suppress(ImpastoError):  # the job that needs it reports the error
            if self.pull_weights is not None:
                self.pull_weights(config.network)
            plan = make_plan(RunOptions(), Workload(512, 512, ((512, 512),), config.resolve(512, 512)))
            self.cache.encoder(config, None, plan.device)

    def run_one(self) -> Job | None:
        """Claim a job and paint it until it ends. Return the job, or None if none was ready."""
        claim = self.store.claim(self.name)
        if claim is None:
            return None
        try:
            with self._renewed(claim):
                self._paint(claim)
        except LostJobError:
            pass  # another worker has claimed it; nothing was written
        except (ImpastoError, OSError, MemoryError, RuntimeError) as error:
            fail_job(self.store, claim, error)
        return self.store.get(claim.job.id)

    @contextlib.contextmanager
    def _renewed(self, claim: Claim) -> Iterator[None]:
        """Renew the lease from a thread: one step of a large picture takes longer than a lease."""
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(self.store.lease_s / 3):
                with contextlib.suppress(JobError):  # the painting thread notices at its next write
                    self.store.renew(claim)

        heartbeat = threading.Thread(target=renew, daemon=True)
        heartbeat.start()
        try:
            yield
        finally:
            ended.set()
            heartbeat.join()

    def _paint(self, claim: Claim) -> None:
        job, store = claim.job, self.store
        if self.pull_weights is not None and "weights" not in job.inputs:
            self.pull_weights(job.config["network"])

        def observe(run: Run, progress: Progress) -> None:
            if self.observer is not None:
                self.observer(job, progress)

        painter = make_painter(
            job,
            {role: store.files.path(str(file["sha256"])) for role, file in job.inputs.items()},
            store.checkpoint_folder / job.checkpoint if job.checkpoint is not None else None,
            cache=self.cache,
            folder=store.checkpoint_folder,
            frames=store.frame_folder(job.clip),
            checkpoint_interval_s=self.checkpoint_interval_s,
            observers=(store.previews.observer(job.clip), observe),
        )
        with contextlib.closing(painter.updates()) as updates:
            command = save_update(store, claim, next(updates))
            while command is not None:
                update = updates.send(replace(command, pause=command.pause or self.stopping))
                command = save_update(store, claim, update)


def save_update(store: JobStore, claim: Claim, update: JobUpdate) -> JobCommand | None:
    """Save a worker's update and return the next command for it, or None if the job has ended.

    Raises `LostJobError` if another worker has claimed the job, `OutputError` if the picture cannot be written.
    """
    match update:
        case PlanChosen():
            return _save_plan(store, claim, update.plan)
        case StepsDone():
            return _save_steps(store, claim, update)
        case FramesDone():
            return store.save_frames(claim, update)
        case JobEnded():
            _end_job(store, claim, update)
            return None


def _save_plan(store: JobStore, claim: Claim, plan: Mapping[str, Any]) -> JobCommand:
    """Save the plan of the first attempt. A shot that was planned in another way starts over with that plan."""
    if claim.job.plan is None:
        store.save_plan(claim, plan)
    command = store.renew(claim)
    return command if store.get(claim.job.id).plan == dict(plan) else replace(command, pause=True)


def _save_steps(store: JobStore, claim: Claim, update: StepsDone) -> JobCommand:
    if update.alpha_changes is not None:
        store.save_alpha_changes(claim, update.alpha_changes)
    if update.checkpoint is not None:
        store.save_checkpoint(claim, update.checkpoint.name)
        _remove_checkpoints(store, claim.job, keep=update.checkpoint.name)
    return store.save_steps(claim, update)


def _end_job(store: JobStore, claim: Claim, update: JobEnded) -> None:
    result = dict(update.result or {})
    if update.picture is not None:
        try:
            result["sha256"] = store.files.add(update.picture)
            if claim.job.output is not None and update.error is None:
                with atomic_write(Path(claim.job.output)) as temporary:
                    shutil.copyfile(update.picture, temporary)
        finally:
            update.picture.unlink(missing_ok=True)
    if update.error is not None:
        store.fail(claim, update.error, result or None)
    elif update.result is None:
        store.release(claim)
    else:
        store.finish(claim, result)
        _remove_checkpoints(store, claim.job)
        if claim.job.parent is None:
            store.remove_frames(claim.job.id)


def fail_job(store: JobStore, claim: Claim, error: BaseException) -> None:
    """Mark a job as failed, unless another worker has claimed it."""
    with contextlib.suppress(LostJobError):
        store.fail(claim, one_line(error))


def _remove_checkpoints(store: JobStore, job: Job, keep: str = "") -> None:
    for path in store.checkpoint_folder.glob(f"{job.id}-*"):
        if path.name != keep:
            path.unlink(missing_ok=True)
