"""`impasto jobs worker`: paint the jobs of a queue."""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Annotated

from cyclopts import Parameter

from impasto.cli.console import console, pull_missing
from impasto.cli.flags import name_flags
from impasto.cli.parameters import CheckpointInterval, DataDir, Quiet, open_store
from impasto.cli.signals import catch_signals
from impasto.core.method import Progress
from impasto.jobs import Job, JobStore
from impasto.jobs.painter import CHECKPOINT_INTERVAL_S
from impasto.jobs.sketches import SketchWorker
from impasto.jobs.worker import Worker, worker_name
from impasto.process import keep_freed_memory

__all__ = ["worker"]

MAX_IDLE_S, POLL_S = 1.0, 0.1
"""Longest wait before the next claim, because leases expire without a change; and how often to look for changes."""


def worker(
    *,
    drain: Annotated[bool, Parameter(negative="", help="Exit when no job is left, instead of waiting.")] = False,
    until_eof: Annotated[
        bool,
        Parameter(negative="", help="Exit at the end of standard input, with the parent program."),
    ] = False,
    checkpoint_every: CheckpointInterval = CHECKPOINT_INTERVAL_S,
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> int:
    """Paint jobs, one at a time, until stopped. Several workers share a queue."""
    store = open_store(data_dir)
    keep_freed_memory()
    eof = threading.Event()
    if until_eof:
        threading.Thread(target=_wait_for_eof, args=(eof,), daemon=True).start()
    with catch_signals() as catcher:
        catcher.deferring = True  # a signal waits for the end of the step
        _work(
            store,
            stopped=lambda: bool(catcher.signal) or eof.is_set(),
            drain=drain,
            warm_up=until_eof,  # the program that started this worker waits for its first picture
            checkpoint_interval_s=checkpoint_every,
            quiet=quiet,
        )
    return 0


def _work(
    store: JobStore,
    *,
    stopped: Callable[[], bool],
    drain: bool,
    warm_up: bool,
    checkpoint_interval_s: float,
    quiet: bool,
) -> None:
    """Paint jobs until `stopped`, or with `drain` until no job is left."""
    announced = 0

    def observe(job: Job, progress: Progress) -> None:
        nonlocal announced
        queue_worker.stopping = stopped()
        if not quiet and announced != job.id:
            announced = job.id
            console.print(f"{_title(job)}: {job.inputs['content']['name']}, {job.inputs['style']['name']}")

    queue_worker = Worker(
        store,
        worker_name(os.getpid()),
        observer=observe,
        pull_weights=functools.partial(pull_missing, quiet=quiet),
        checkpoint_interval_s=checkpoint_interval_s,
    )
    if warm_up:
        queue_worker.warm_up()
    for job in _run_jobs(store, queue_worker, stopped, drain=drain):
        if not quiet:
            console.print(f"{_title(job)} is {job.state}{f': {name_flags(job.error)}' if job.error else ''}")


def _run_jobs(store: JobStore, worker: Worker, stopped: Callable[[], bool], *, drain: bool) -> Iterator[Job]:
    """Yield each job after it has run. Sketches are painted while no job waits."""
    sketch_worker = SketchWorker(worker, stopped)

    def revision() -> tuple[int, int]:
        return store.revision(), sketch_worker.revision()

    while not stopped():
        seen = revision()
        if job := worker.run_one():
            yield job
        elif drain:
            return
        elif sketch_worker.run_one() is None:
            _wait_for_change(revision, seen, stopped)


def _title(job: Job) -> str:
    if job.shot is None:
        return f"job {job.id}"
    first, end = job.shot
    return f"job {job.clip}, shot from frame {first + 1} to {end}"


def _wait_for_change(revision: Callable[[], object], seen: object, stopped: Callable[[], bool]) -> None:
    """Wait until a queue changes, or until a lease may have expired."""
    deadline_s = time.monotonic() + MAX_IDLE_S
    while time.monotonic() < deadline_s and not stopped() and revision() == seen:
        time.sleep(POLL_S)


def _wait_for_eof(eof: threading.Event) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    eof.set()
