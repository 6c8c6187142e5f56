"""A studio that the client starts and ends itself."""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import queue
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO

from impasto_client.errors import NotInstalledError, StartError

__all__ = ["LocalStudio", "find_impasto"]

STOP_TIMEOUT_S = 20.0


class LocalStudio:
    """A studio in a process of its own. It is ended by `stop`, or when this program ends."""

    def __init__(self, process: subprocess.Popen[str], log: IO[str], token: str) -> None:
        self.process, self.token, self.url = process, token, ""
        self._log = log
        self._first_line: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read_output, daemon=True).start()
        atexit.register(self.stop)

    @classmethod
    def start(cls, data_dir: str | None, command: list[str] | None, workers: int, timeout_s: float) -> LocalStudio:
        """Start a studio and wait until it answers. Raises `NotInstalledError` or `StartError`."""
        program = command or find_impasto()
        options = ["studio", "--port", "0", "--no-browser", "--workers", str(workers)]
        if data_dir is not None:
            options += ["--data-dir", str(data_dir)]
        token = secrets.token_urlsafe(24)
        log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed by stop
        try:
            process = subprocess.Popen(
                [*program, *options],
                env=_environment(program, token),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # Ctrl-C in a terminal is for this program, which ends the studio itself.
                **({"start_new_session": True} if os.name == "posix" else {"creationflags": 0x200}),
            )
        except OSError as error:
            log.close()
            raise NotInstalledError(
                f"{program[0]} cannot be started: {error.strerror or error}. Install Impasto: pip install impasto"
            ) from error
        studio = cls(process, log, token)
        studio._wait_until_ready(timeout_s)
        return studio

    def stop(self) -> None:
        """End the studio and its workers. Unfinished jobs stay in the queue."""
        atexit.unregister(self.stop)
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._log.close()

    def _wait_until_ready(self, timeout_s: float) -> None:
        try:
            line = self._first_line.get(timeout=timeout_s)
        except queue.Empty:
            line = ""
        address = line.split()[-1:]
        if not address or not address[0].startswith("http://"):
            status = self.process.poll()
            silent = (
                f"it did not answer within {timeout_s:.0f} s" if status is None else f"it ended with status {status}"
            )
            reason = self._read_log() or line.strip() or silent
            self.stop()
            raise StartError(f"The studio could not be started: {reason}")
        self.url = address[0]

    def _read_output(self) -> None:
        """Read all lines, so that the studio never waits for a full pipe."""
        assert self.process.stdout is not None
        with self.process.stdout as stream, contextlib.suppress(ValueError):
            for line in stream:
                self._first_line.put(line)
        self.process.wait()
        self._first_line.put("")

    def _read_log(self) -> str:
        """Return the last line that the studio wrote to its error stream."""
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return lines[-1] if lines else ""


def find_impasto() -> list[str]:
    """Return the command that runs Impasto: in this Python, or on PATH. Raises `NotInstalledError`."""
    # Inside Krita and the like, sys.executable is the program and not Python.
    if importlib.util.find_spec("impasto") is not None and Path(sys.executable).stem.lower().startswith("python"):
        return [sys.executable, "-m", "impasto"]
    found = shutil.which("impasto")
    if found is None:
        raise NotInstalledError(
            "Impasto is not installed in this Python, and there is no impasto on PATH. Install it: pip install impasto"
        )
    return [found]


def _environment(program: list[str], token: str) -> dict[str, str]:
    """Return the environment of the studio. The token is there, because others can read command lines."""
    environment = {**os.environ, "IMPASTO_TOKEN": token}
    if program[0] != sys.executable:  # another Python, to which this one's modules are foreign
        for name in ("PYTHONHOME", "PYTHONPATH"):
            environment.pop(name, None)
    return environment
