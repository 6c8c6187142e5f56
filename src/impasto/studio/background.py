"""Work that takes too long for a request: done once for each key, in threads of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from impasto.jobs import JobError

__all__ = ["Background"]

THREADS = 2


class Background:
    """Tasks in threads. Each must call `check` often, so that it ends when the studio is closed."""

    def __init__(self) -> None:
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._tasks: dict[str, Future[Any]] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="studio")

    def start(self, key: str, task: Callable[[], Any]) -> Future[Any]:
        """Return the future of the task with this key, and start it unless it is being done.

        A task that failed is returned once, and started again by the next call.
        """
        with self._lock:
            self.check()
            before = self._tasks.pop(key, None)
            if before is not None and before.done():
                if before.exception() is not None:
                    return before
                before = None
            self._tasks[key] = before or self._threads.submit(task)
            return self._tasks[key]

    def check(self) -> None:
        """Raise `JobError` if the studio is closed."""
        if self._closed.is_set():
            raise JobError("The studio is being closed. Open it again.")

    def close(self) -> None:
        """End all tasks."""
        self._closed.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
