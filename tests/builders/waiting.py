"""Waiting for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TIMEOUT_S = 300.0
"""Far beyond what an idle machine takes, so that a busy one passes too."""


def wait_until(condition: Callable[[], T], timeout_s: float = TIMEOUT_S) -> T:
    """Return the first true value of `condition`."""
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end, f"this did not happen in {timeout_s:.0f} s"
        time.sleep(0.02)
    return found
