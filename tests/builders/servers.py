"""A studio in its own process."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
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


@functools.cache
def draw_samples() -> Path:
    """Draw the samples as a studio does, once for all studios of this process, and return their folder."""
    from impasto.jobs import JobStore
    from impasto.studio.pictures import Pictures

    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    store = JobStore(folder / "data")
    Pictures(store).draw_samples()
    return store.folder / "samples"


def start_studio(folder: Path, *options: str, port: int = 0, has_samples: bool = False) -> RunningStudio:
    """Start a studio. One that runs for more than five seconds should find the samples of an earlier start.

    Otherwise it draws them, which takes four seconds.
    """
    if has_samples and not (folder / "samples").exists():
        shutil.copytree(draw_samples(), folder / "samples", copy_function=os.link)
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
