"""A studio in its own process."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass
class RunningStudio:
    """A running studio and its address."""

    process: subprocess.Popen[str]
    address: str

    def workers(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return [child for child in psutil.Process(self.process.pid).children() if "worker" in child.cmdline()]
        return []

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(300)


def start_studio(folder: Path, *options: str, port: int = 0) -> RunningStudio:
    command = [
        sys.executable,
        "-m",
        "impasto",
        "studio",
        "--port",
        str(port),
        "--no-browser",
        "--data-dir",
        str(folder),
    ]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "http://" in line, process.stderr.read() if process.stderr else ""
    return RunningStudio(process, line.split()[-1])


def kill_studio(running: RunningStudio) -> None:
    """Kill the studio and its workers, if they still run."""
    for worker in running.workers():
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()
    running.process.kill()
    for stream in (running.process.stdout, running.process.stderr):
        if stream is not None:
            stream.close()
    running.process.wait(300)
