"""Control of freed memory, which a process may keep (`process.keep_freed_memory`)."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from contextvars import ContextVar

import psutil

__all__ = ["planned_memory", "trim_freed_memory"]

PLANNED: ContextVar[float] = ContextVar("PLANNED", default=0.0)
"""The bytes that this process is expected to take."""

TRIMMED_SHARE = 0.75
"""Share of the planned bytes from which freed memory is given back. Below it, finding the same pages again saves up to
a sixth of the time."""


@contextlib.contextmanager
def planned_memory(size: float) -> Iterator[None]:
    """Let the process keep freed memory as long as it holds clearly less than `size` bytes."""
    token = PLANNED.set(size)
    try:
        yield
    finally:
        PLANNED.reset(token)


def trim_freed_memory() -> None:
    """Give all freed memory back to the system, also what is scattered between areas in use, unless there is room."""
    if sys.platform.startswith("linux") and _held_bytes() >= TRIMMED_SHARE * PLANNED.get():
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _held_bytes() -> float:
    """Return the memory of this process, without the files that it maps."""
    held = psutil.Process().memory_info()
    return float(held.rss - getattr(held, "shared", 0))
