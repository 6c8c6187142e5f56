"""A studio as a program of its own, for the tests that need one."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass
class Running:
    """A studio that runs, and where."""

    process: subprocess.Popen[str]
    address: str

    def workers(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return [child for child in psutil.Process(self.process.pid).children() if "worker" in child.cmdline()]
        return []

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(40)


def opened(folder: Path, *options: str) -> Running:
    command = [sys.executable, "-m", "impasto", "studio", "--port", "0", "--no-browser", "--data-dir", str(folder)]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "http://" in line, process.stderr.read() if process.stderr else ""
    return Running(process, line.split()[-1])


def ended(running: Running) -> None:
    """Whatever is left of it, such as after a test that failed."""
    for worker in running.workers():
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()
    running.process.kill()
    for stream in (running.process.stdout, running.process.stderr):
        if stream is not None:
            stream.close()
    running.process.wait(10)
