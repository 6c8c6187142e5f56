"""Workers as processes, kept alive by whoever needs them.

When that program is gone, however it went, its workers find their standing input ended, leave their jobs where they
are, exactly, and end; the next workers go on with them.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time

from impasto.errors import ImpastoError
from impasto.jobs.errors import JobError
from impasto.jobs.painter import CHECKPOINT_INTERVAL_S
from impasto.jobs.store import JobStore
from impasto.jobs.worker import worker_name

__all__ = ["LocalExecutor"]

LEAVE_S = 20.0
"""How long a worker may take to leave its job: a step of a large picture."""

LEAST_REST_S, MOST_REST_S, YOUNG_S = 0.1, 30.0, 10.0
"""Between a worker's death and the next one, doubled each time it dies young."""

NEW_GROUP = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
"""On Windows, keeps Ctrl-C from the workers, as a new session does elsewhere: this process tells them to stop."""


class LocalExecutor:
    """Processes that paint the jobs of a queue, begun again when they die; so there is never an `error`.

    Nor is anybody `absent`: there is always room for a process.
    """

    def __init__(self, store: JobStore, count: int, keep_s: float = CHECKPOINT_INTERVAL_S) -> None:
        command = [sys.executable, "-m", "impasto", "jobs", "worker", "--until-eof", "--quiet"]
        self.command = [*command, "--checkpoint-every", str(keep_s), "--data-dir", str(store.folder)]
        self.store, self.count = store, count
        self.error: ImpastoError | None = None
        self.absent = False
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> LocalExecutor:
        self._threads = [threading.Thread(target=self._keep_one, daemon=True) for _ in range(self.count)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(LEAVE_S + 5)

    def _keep_one(self) -> None:
        rest_s = LEAST_REST_S
        while not self._over.is_set():
            began = time.monotonic()
            with subprocess.Popen(
                self.command, stdin=subprocess.PIPE, start_new_session=True, creationflags=NEW_GROUP
            ) as worker:
                while worker.poll() is None and not self._over.wait(0.2):
                    pass
                _let_go(worker)
            with contextlib.suppress(JobError):  # then its lease ends by itself
                self.store.expire_worker(worker_name(worker.pid))
            lived_s = time.monotonic() - began
            rest_s = LEAST_REST_S if lived_s > YOUNG_S else min(2 * rest_s, MOST_REST_S)
            self._over.wait(rest_s)


def _let_go(worker: subprocess.Popen[bytes]) -> None:
    """Ask a worker to end, and end it if it does not."""
    if worker.stdin is not None:
        with contextlib.suppress(OSError):
            worker.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        worker.wait(LEAVE_S)
        return
    worker.kill()
