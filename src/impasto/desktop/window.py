"""A window that shows the studio's page, in a process of its own.

GUI libraries need the main thread, take over signals, and abort the process if they find no display. In a process of
its own, such a library leaves the studio, its workers and Ctrl-C alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys

from impasto.desktop.icon import write_icon
from impasto.errors import ImpastoError
from impasto.files import user_cache_folder

__all__ = ["StudioWindow", "WindowError", "find_missing_parts", "has_display"]

CLOSE_TIMEOUT_S = 10.0

GUI_LIBRARIES = ("gi", "PyQt6", "PySide6", "PyQt5", "PySide2")
"""Modules, of which pywebview needs one where the system has no web view of its own."""

NEW_GROUP = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
"""On Windows, keeps Ctrl-C from the window, as a new session does elsewhere: this process closes it."""


class WindowError(ImpastoError):
    """A window that cannot be opened."""


def has_display() -> bool:
    """Return True if this process can show windows."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def find_missing_parts() -> str:
    """Return what a window lacks on this machine: `pywebview`, `library`, `display`, or nothing."""
    if importlib.util.find_spec("webview") is None:
        return "pywebview"
    if sys.platform in ("win32", "darwin"):
        return ""
    if not any(importlib.util.find_spec(module) for module in GUI_LIBRARIES):
        return "library"
    return "" if has_display() else "display"


MISSING = {
    "pywebview": "pywebview is not installed. Run pip install 'impasto[desktop]'.",
    "library": "pywebview has no GUI library. Run pip install 'pywebview[qt]'.",
    "display": "there is no display.",
}


class StudioWindow:
    """A process with a window. It ends when its user closes the window, or when this process ends."""

    def __init__(self, address: str) -> None:
        """Start the process. Raises `WindowError`."""
        if missing := find_missing_parts():
            raise WindowError(MISSING[missing if has_display() else "display"])  # then nothing else would help
        command = [sys.executable, "-P", "-m", "impasto.desktop.window_process", address, *_write_window_icon()]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # toolkits write harmless warnings there
                text=True,
                start_new_session=True,
                creationflags=NEW_GROUP,
            )
        except OSError as error:
            raise WindowError(f"its process cannot be started: {error.strerror or error}.") from error

    def wait_until_shown(self) -> None:
        """Wait for the window. Raises `WindowError` if there will be none."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if line != "shown":
            status = self._process.wait()
            raise WindowError(line or f"its process ended at once, with status {status}.")

    def wait(self) -> None:
        """Wait until the window is closed."""
        self._process.wait()

    @property
    def is_closed(self) -> bool:
        """True once the window is closed."""
        return self._process.poll() is not None

    def close(self) -> None:
        """Close the window: its process ends at the end of its standard input."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def _write_window_icon() -> list[str]:
    """Write the icon where the process of the window finds it, and return its path; none if that fails."""
    path = user_cache_folder() / ("studio.ico" if sys.platform == "win32" else "studio.png")
    with contextlib.suppress(OSError):
        write_icon(path)
        return [str(path)]
    return []
