"""A run in a thread of its own, so that the notebook's kernel stays free."""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field

from impasto.core.method import Progress
from impasto.run import Result, Run, drive
from impasto.run.previews import PreviewObserver

__all__ = ["POLL_S", "PREVIEW_PX", "Painting"]

PREVIEW_PX = 768

PREVIEW_TIME_SHARE = 0.1
"""Maximum share of the time that previews may take, higher than in the queue: the widget is watched live."""

POLL_S = 0.2
"""Interval between checks for an interrupt: on Windows, a wait without a timeout cannot be interrupted."""

EXIT_TIMEOUT_S = 30.0
"""Maximum time that the end of the process waits for the current step. Jupyter kills a kernel after 5 s."""


@dataclass(eq=False)
class Painting:
    """A run in a thread.

    All functions are called in that thread: `alpha` after every step, for the α to continue with; `show` with a
    preview, as often as its cost allows; `end` when the run has ended, with a `result` or an `error`.
    """

    run: Run
    alpha: Callable[[], float]
    show: Callable[[Run, Progress, bytes], None]
    end: Callable[[Painting], None]
    result: Result | None = field(default=None, init=False)
    error: Exception | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._stopping, self._ended = threading.Event(), threading.Event()
        self._last_alpha = self.run.config.alpha
        # A daemon, so that a long step cannot keep the process alive.
        self._thread = threading.Thread(target=self._paint, name="impasto", daemon=True)

    def start(self) -> None:
        """Start to paint."""
        _active.add(self)
        self._thread.start()

    def stop(self) -> None:
        """End the run after the current step. Its picture so far is the result."""
        self._stopping.set()

    @property
    def is_active(self) -> bool:
        """True from the start until `end` has returned."""
        return self._thread.ident is not None and not self._ended.is_set()

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait for the end of the run. An interrupt stops it, and is raised once the current step is done."""
        try:
            self._wait(timeout_s)
        except KeyboardInterrupt:
            self.stop()
            self._wait(None)
            raise

    def _wait(self, timeout_s: float | None) -> None:
        # An interrupted Thread.join marks the thread as ended, although it goes on (python/cpython#90882).
        rest_s = float("inf") if timeout_s is None else timeout_s
        while rest_s > 0 and not self._ended.wait(min(POLL_S, rest_s)):
            rest_s -= POLL_S

    def _paint(self) -> None:
        try:
            observers = (PreviewObserver(self.show, PREVIEW_PX, PREVIEW_TIME_SHARE), self._follow_alpha)
            self.result = drive(self.run, observers, lambda progress: self._stopping.is_set())
        except Exception as error:  # a thread has no caller to raise to: `end` reports it
            self.error = error
        try:
            self.end(self)
        finally:
            self._ended.set()

    def _follow_alpha(self, run: Run, progress: Progress) -> None:
        """Change α between two steps: a change during a step would be recorded for the wrong one."""
        alpha = self.alpha()
        if alpha != self._last_alpha and not progress.is_last:
            run.set_alpha(alpha)
            self._last_alpha = alpha


_active: weakref.WeakSet[Painting] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """Stop the runs before the interpreter ends: torch must not compute while it is torn down."""
    paintings = [painting for painting in _active if painting.is_active]
    for painting in paintings:
        painting.stop()
    for painting in paintings:
        painting.wait(EXIT_TIMEOUT_S)
