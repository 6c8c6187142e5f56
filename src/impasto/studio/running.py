"""The address of the studio that runs for a queue, so that a second one shows the first one's page."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from impasto.files import atomic_write

__all__ = ["announce", "find_running_studio", "wait_for_running_studio"]

FILE_NAME = "studio.json"

TIMEOUT_S = 30.0
"""Time for an answer. A studio that has just been started accepts connections before it answers."""

ANNOUNCE_TIMEOUT_S, POLL_S = 1.0, 0.1


@contextlib.contextmanager
def announce(folder: Path, address: str) -> Iterator[None]:
    """Note the address of this process' studio in the folder of its queue while it runs."""
    path, record = folder / FILE_NAME, {"address": address, "pid": os.getpid(), "machine": platform.node()}
    with contextlib.suppress(OSError), atomic_write(path) as temporary:  # a full disk must not stop the studio
        temporary.write_text(json.dumps(record), encoding="utf-8")
    try:
        yield
    finally:
        if _read(path) == record:
            with contextlib.suppress(OSError):
                path.unlink()


def wait_for_running_studio(folder: Path) -> str | None:
    """Do the same as `find_running_studio`, but give one that starts at the same time a moment to announce itself."""
    deadline_s = time.monotonic() + ANNOUNCE_TIMEOUT_S
    while not (address := find_running_studio(folder)) and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
    return address


def find_running_studio(folder: Path) -> str | None:
    """Return the address of a studio that runs on this machine for the queue in a folder."""
    record = _read(folder / FILE_NAME)
    try:
        is_here = record["machine"] == platform.node() and psutil.pid_exists(record["pid"])
        address = str(record["address"])
        return address if is_here and _answers(address) else None
    except (KeyError, TypeError, ValueError, OverflowError):  # written by another version, or by hand
        return None


def _read(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        record = json.loads(path.read_text(encoding="utf-8"))
        return record if isinstance(record, dict) else {}
    return {}


def _answers(address: str) -> bool:
    """Return True if a studio answers. Raises `ValueError`."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/api/health")
        return "version" in json.loads(connection.getresponse().read(1000))
    return False
