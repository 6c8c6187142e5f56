"""The studio on the desktop: a window of its own, and an entry in the menu of programs."""

from impasto.desktop.browser_window import BrowserWindow, find_app_browser
from impasto.desktop.shortcut import Shortcut, find_shortcut, install_shortcut, remove_shortcut
from impasto.desktop.window import StudioWindow, WindowError, find_missing_parts

__all__ = [
    "BrowserWindow",
    "Shortcut",
    "StudioWindow",
    "WindowError",
    "find_app_browser",
    "find_missing_parts",
    "find_shortcut",
    "install_shortcut",
    "remove_shortcut",
]
