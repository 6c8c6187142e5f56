"""Processes of tests, none of which outlives the test run, however it ends."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from types import TracebackType

import psutil

RUN = "IMPASTO_TEST_RUN"
"""The environment variable that processes of a test run inherit."""


class Program(subprocess.Popen[str]):
    """A process that is killed with its children if the test fails while it runs."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait for the end of the process."""
        if kind is not None:
            kill_tree(self.pid)
        super().__exit__(kind, value, traceback)


def kill_tree(pid: int) -> None:
    """Kill a process and all that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


def start_reaper() -> subprocess.Popen[bytes]:
    """Start a process that kills what is left of this test run once this process has ended or closes its input."""
    run = uuid.uuid4().hex
    command = [sys.executable, __file__, run]
    reaper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    os.environ[RUN] = run
    return reaper


def kill_run(run: str) -> None:
    """Kill all processes that inherited this run, and the processes that they start."""
    for _ in range(100):
        left = [process for process in psutil.process_iter() if _belongs_to(process, run)]
        if not left:
            return
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=1)


def _belongs_to(process: psutil.Process, run: str) -> bool:
    with contextlib.suppress(psutil.Error, OSError):
        return process.environ().get(RUN) == run and process.status() != psutil.STATUS_ZOMBIE
    return False


if __name__ == "__main__":
    sys.stdin.read()
    kill_run(sys.argv[1])
