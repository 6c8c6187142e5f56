"""The window or the browser that shows the studio's page."""

from __future__ import annotations

import threading
import time
import webbrowser
from collections.abc import Callable

from impasto.cli.console import console
from impasto.desktop import BrowserWindow, StudioWindow, WindowError

__all__ = ["Viewer"]

POLL_S = 0.1


class Viewer:
    """Shows a page in a window or a browser, without waiting for it. The window is closed at the end."""

    def __init__(self, *, app: bool, browser: bool) -> None:
        self.app, self.browser = app, browser
        self._window: StudioWindow | BrowserWindow | None = None
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
        """Open a window by pywebview, or else by a browser that can show a window of its own."""
        problems = []
        for kind in (StudioWindow, BrowserWindow):
            try:
                self._window = kind(address)
                self._window.wait_until_shown()
                self._is_shown = True
                return
            except WindowError as error:
                problems.append(error)
                if self._window is not None:
                    self._window.close()
            if self._is_ending:
                return
        instead = " Opening the browser instead." if self.browser else ""
        console.print(f"There is no window of its own: {problems[0]}{instead}")
