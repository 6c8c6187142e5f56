"""Worker processes on this machine, restarted when they die.

If this process ends, however it ends, its workers reach the end of their standard input. They release their jobs after
the current step and exit; later workers continue with these jobs.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping

import torch

from impasto.jobs.model import JobError
from impasto.jobs.painter import CHECKPOINT_INTERVAL_S
from impasto.jobs.sketches import find_sketches
from impasto.jobs.store import JobStore
from impasto.jobs.worker import worker_name

__all__ = ["LocalExecutor", "select_card"]

EXIT_TIMEOUT_S = 20.0
"""Time for a worker to release its job: one step of a large picture."""

MIN_BACKOFF_S, MAX_BACKOFF_S, HEALTHY_S = 0.1, 30.0, 10.0
"""Wait before a restart. It doubles each time a worker lives for less than `HEALTHY_S`."""

NEW_GROUP = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
"""On Windows, keeps Ctrl-C from the workers, as a new session does elsewhere: this process tells them to stop."""


def select_card(number: int) -> dict[str, str]:
    """Return the variables that give a worker one of several CUDA cards, in turn; none where there is one or none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = visible.split(",") if visible else [str(card) for card in range(torch.cuda.device_count())]
    return {"CUDA_VISIBLE_DEVICES": cards[number % len(cards)]} if len(cards) > 1 else {}


class LocalExecutor:
    """Runs `count` worker processes while it is open."""

    def __init__(self, store: JobStore, count: int, checkpoint_interval_s: float = CHECKPOINT_INTERVAL_S) -> None:
        command = [sys.executable, "-m", "impasto", "jobs", "worker", "--until-eof", "--quiet"]
        self.command = [*command, "--checkpoint-every", str(checkpoint_interval_s), "--data-dir", str(store.folder)]
        self.store, self.count = store, count
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._processes: set[int] = set()
        self._start_error: OSError | None = None

    def __enter__(self) -> LocalExecutor:
        self._threads = [
            threading.Thread(target=self._supervise, args=(number,), daemon=True) for number in range(self.count)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join(EXIT_TIMEOUT_S + 5)

    @property
    def workers(self) -> int:
        """The number of running processes."""
        return len(self._processes)

    def check(self) -> None:
        """Raise `JobError` if no worker process runs and none could be started."""
        if self._start_error is not None and not self._processes:
            raise JobError(f"No worker process can be started: {self._start_error}. Free some memory, then try again.")

    def _supervise(self, number: int) -> None:
        """Keep one worker process running."""
        environment = os.environ | select_card(number)
        backoff_s = MIN_BACKOFF_S
        while not self._closing.is_set():
            started_s = time.monotonic()
            try:
                self._run_process(environment)
                self._start_error = None
            except OSError as error:
                self._start_error = error
            healthy = time.monotonic() - started_s > HEALTHY_S
            backoff_s = MIN_BACKOFF_S if healthy else min(2 * backoff_s, MAX_BACKOFF_S)
            self._closing.wait(backoff_s)

    def _run_process(self, environment: Mapping[str, str]) -> None:
        with subprocess.Popen(
            self.command, stdin=subprocess.PIPE, env=environment, start_new_session=True, creationflags=NEW_GROUP
        ) as process:
            self._processes.add(process.pid)
            try:
                while process.poll() is None and not self._closing.wait(0.2):
                    pass
                self._stop(process)
            finally:
                self._processes.discard(process.pid)
        with contextlib.suppress(JobError):  # else the lease expires
            for queue in filter(None, (self.store, find_sketches(self.store))):
                queue.expire_worker(worker_name(process.pid))

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        """Ask a worker to stop by closing its standard input. Kill it after a timeout, or once it has no job."""
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        name = worker_name(process.pid)
        deadline_s = time.monotonic() + EXIT_TIMEOUT_S
        while process.poll() is None and time.monotonic() < deadline_s:
            # A worker that loads its network does not read its input, and has nothing to lose.
            if not any(job.worker == name for job in self.store.jobs()):
                break
            time.sleep(0.1)
        process.kill()
