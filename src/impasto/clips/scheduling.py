"""The scheduling of a process, kept while a library changes it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["keep_scheduling"]

THREADS = Path("/proc/self/task")


@contextlib.contextmanager
def keep_scheduling() -> Iterator[None]:
    """Undo changes of scheduling, of all threads of this process, at the end.

    As root, SVT-AV1 gives the thread that opens it, and its own ones, a real-time priority: other programs get no
    processor any more, and new threads inherit it.
    """
    if sys.platform != "linux":
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for thread in THREADS.iterdir():
            with contextlib.suppress(OSError):  # it has ended
                if os.sched_getscheduler(int(thread.name)) != policy:
                    os.sched_setscheduler(int(thread.name), policy, parameters)
