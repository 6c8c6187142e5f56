"""The window or the browser that shows the studio's page."""

from __future__ import annotations

import threading
import time
import webbrowser
from collections.abc import Callable

from impasto.cli.console import console
from impasto.desktop import StudioWindow, WindowError

__all__ = ["Viewer"]

POLL_S = 0.1


class Viewer:
    """Shows a page in a window or a browser, without waiting for it. The window is closed at the end."""

    def __init__(self, *, app: bool, browser: bool) -> None:
        self.app, self.browser = app, browser
        self._window: StudioWindow | None = None
        self._is_shown = False
        self._is_ending = False
        self._thread = threading.Thread(daemon=True)

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_ending = True
        if self._window is not None:
            self._window.close()

    def show(self, address: str) -> None:
        """Open the page."""
        # Some browsers stay in the foreground: the call returns when they are closed.
        self._thread = threading.Thread(target=self._show, args=(address,), daemon=True)
        self._thread.start()

    def wait(self, should_stop: Callable[[], bool]) -> None:
        """Wait until the page is open in a browser, or its window is closed."""
        while not should_stop() and (self._thread.is_alive() or (self._is_shown and not self.is_closed)):
            time.sleep(POLL_S)

    @property
    def is_closed(self) -> bool:
        """True once the window is closed; a browser never is."""
        return self._is_shown and self._window is not None and self._window.is_closed

    def _show(self, address: str) -> None:
        if self.app:
            self._show_window(address)
        if self.browser and not self._is_shown and not self._is_ending:
            webbrowser.open(address)

    def _show_window(self, address: str) -> None:
        try:
            self._window = StudioWindow(address)
            self._window.wait_until_shown()
            self._is_shown = True
        except WindowError as error:
            if not self._is_ending:
                instead = " Opening the browser instead." if self.browser else ""
                console.print(f"There is no window of its own: {error}{instead}")
