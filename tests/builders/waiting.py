"""Waiting for another process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TIMEOUT_S = 300.0
"""Far longer than an idle machine needs, so that a busy one passes too."""


def wait_until(condition: Callable[[], T], timeout_s: float = TIMEOUT_S) -> T:
    """Poll `condition` and return its first true value."""
    deadline = time.monotonic() + timeout_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"timed out after {timeout_s:.0f} s"
        time.sleep(0.05)
    return result
