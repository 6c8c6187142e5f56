"""`impasto studio --install-shortcut` and `--remove-shortcut`."""

from __future__ import annotations

from collections.abc import Sequence

from impasto.cli.console import console
from impasto.desktop import find_app_browser, find_missing_parts, install_shortcut, remove_shortcut

__all__ = ["install", "remove"]


def install(options: Sequence[str]) -> int:
    """Add the studio to the desktop's menu."""
    needs_terminal = find_missing_parts() in ("pywebview", "library") and find_app_browser() is None
    shortcut = install_shortcut(options, terminal=needs_terminal)
    print(shortcut.path)
    if needs_terminal:
        console.print(
            "It opens the browser, and a terminal to stop the studio. For a window of its own, run "
            "pip install 'impasto[desktop]', and install the shortcut again."
        )
    return 0


def remove() -> int:
    """Remove the studio from the desktop's menu."""
    shortcut = remove_shortcut()
    print("There is no shortcut." if shortcut is None else f"removed {shortcut.path}")
    return 0
