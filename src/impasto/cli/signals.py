"""Ctrl-C and SIGTERM: the first one asks to stop, the second one stops at once.

This module imports nothing heavy, so that signals are handled from the start.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["SignalCatcher", "catch_early", "catch_signals"]


class SignalCatcher:
    """A signal handler. Once `deferring`, the first signal is only recorded, and the next one interrupts."""

    signal = 0
    deferring = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        again, self.signal = self.signal, number
        # An exception raised inside a callback, such as libvips', is lost; the recorded signal is not.
        if again or not self.deferring:
            raise KeyboardInterrupt


@contextlib.contextmanager
def catch_early() -> Iterator[None]:
    """Record a Ctrl-C that comes while modules are loaded; `catch_signals` then raises it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _handle(SignalCatcher(), signal.SIGINT):
        yield


@contextlib.contextmanager
def catch_signals() -> Iterator[SignalCatcher]:
    """Record the first signal instead of stopping; see `SignalCatcher`."""
    before = signal.getsignal(signal.SIGINT)
    if isinstance(before, SignalCatcher) and before.signal:
        raise KeyboardInterrupt
    catcher = SignalCatcher()
    with _handle(catcher, signal.SIGINT, signal.SIGTERM):
        yield catcher


@contextlib.contextmanager
def _handle(catcher: SignalCatcher, *numbers: int) -> Iterator[None]:
    before = {number: signal.signal(number, catcher) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
