"""A window that shows the studio's page without pywebview: a browser of the Chromium family in its app mode."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from impasto.desktop.window import CLOSE_TIMEOUT_S, NEW_GROUP, WindowError, has_display
from impasto.files import ScratchFolder

__all__ = ["BrowserWindow", "find_app_browser"]

START_S = 3.0
"""A browser that ends sooner has shown no window: as root, for example, Chromium refuses to start."""

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
    "microsoft-edge-stable",
    "brave-browser",
    "brave",
)
WINDOWS_PATHS = (
    "Google/Chrome/Application/chrome.exe",
    "Microsoft/Edge/Application/msedge.exe",
    "BraveSoftware/Brave-Browser/Application/brave.exe",
    "Chromium/Application/chrome.exe",
)
MACOS_PROGRAMS = ("Google Chrome", "Chromium", "Microsoft Edge", "Brave Browser")

FLAGS = (
    "--class=impasto",  # the window's class, which finds the entry in the menu
    "--window-size=1400,950",
    "--no-first-run",
    "--no-default-browser-check",
    "--password-store=basic",  # else a new profile may ask to unlock the keyring
    "--disable-background-mode",  # else the process may outlive its window
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_app_browser() -> Path | None:
    """Find a browser that can show a page in a window of its own."""
    if not has_display():
        return None
    found = (Path(path) for name in NAMES if (path := shutil.which(name)))
    return next(found, None) or next((path for path in _usual_paths() if path.is_file()), None)


def _usual_paths() -> list[Path]:
    """Return the paths of browsers that are not on the PATH."""
    paths: list[Path] = []
    if sys.platform == "win32":
        folders = filter(None, map(os.environ.get, ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")))
        paths += [Path(folder, path) for folder in folders for path in WINDOWS_PATHS]
    elif sys.platform == "darwin":
        for folder in (Path("/Applications"), Path("~/Applications").expanduser()):
            paths += [Path(folder, f"{name}.app", "Contents", "MacOS", name) for name in MACOS_PROGRAMS]
    return paths


class BrowserWindow:
    """A browser with one window and a new profile, so that its process ends with the window."""

    def __init__(self, address: str) -> None:
        """Start the browser. Raises `WindowError`."""
        browser = find_app_browser()
        if browser is None:
            raise WindowError("there is no browser of the Chromium family, or no display.")
        self._name, self._profile = browser.stem, ScratchFolder()
        try:
            self._process = subprocess.Popen(
                [str(browser), f"--app={address}", f"--user-data-dir={self._profile.path}", *FLAGS],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                creationflags=NEW_GROUP,
            )
        except OSError as error:
            self._profile.cleanup()
            raise WindowError(f"{browser} cannot be started: {error.strerror or error}.") from error

    def wait_until_shown(self) -> None:
        """Wait until the window can be taken as shown. Raises `WindowError` if the browser ends before."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self._process.wait(START_S)
            raise WindowError(f"{self._name} ended at once, with status {status}.")

    @property
    def is_closed(self) -> bool:
        """True once the window is closed."""
        return self._process.poll() is not None

    def close(self) -> None:
        """Close the window, and delete its profile."""
        self._process.terminate()
        try:
            self._process.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._profile.cleanup()
