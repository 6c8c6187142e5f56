"""Ctrl-C and SIGTERM: the first one asks, the second one ends. Light enough to be there from the first moment on."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["Caught", "early", "signals"]


class Caught:
    """The first signal is remembered, and the run ends at the next step; the second one ends it now."""

    signal = 0
    painting = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        again, self.signal = self.signal, number
        # Raised inside a callback, such as libvips', it would be lost; what was remembered is seen at the next step.
        if again or not self.painting:
            raise KeyboardInterrupt


@contextlib.contextmanager
def early() -> Iterator[None]:
    """Remember a Ctrl-C that comes while things are loaded, for `signals` to find."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _handled(Caught(), signal.SIGINT):
        yield


@contextlib.contextmanager
def signals() -> Iterator[Caught]:
    """Remember the first signal to stop instead of being stopped by it; see `Caught`."""
    before = signal.getsignal(signal.SIGINT)
    if isinstance(before, Caught) and before.signal:
        raise KeyboardInterrupt
    caught = Caught()
    with _handled(caught, signal.SIGINT, signal.SIGTERM):
        yield caught


@contextlib.contextmanager
def _handled(caught: Caught, *numbers: int) -> Iterator[None]:
    before = {number: signal.signal(number, caught) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
