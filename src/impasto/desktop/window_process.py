"""The process of a window: `python -m impasto.desktop.window_process ADDRESS [ICON]`.

It writes one line, `shown` or the reason why there is no window, and ends with the window or with its standard input.
It loads no libvips, whose own GLib does not go together with that of GTK.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import Any

from impasto.desktop.downloads import repair_downloads

__all__ = ["main"]

TITLE = "Impasto studio"
WIDTH, HEIGHT, MIN_SIZE = 1400, 950, (360, 480)
CLOSE_TIMEOUT_S = 5.0


def main(address: str, icon: str | None = None) -> None:
    """Show a page until its window is closed."""
    sys.argv = ["impasto"]  # toolkits take the window's class from it, which finds the entry in the menu
    try:
        import webview
        from webview.guilib import initialize

        gui = None
        if sys.platform not in ("win32", "darwin"):
            # WebKitGTK does not hand over files that are dropped on a page, since CVE-2025-13947.
            gui = None if os.environ.get("PYWEBVIEW_GUI") else "qt"
            repair_downloads(initialize(gui))
        webview.settings["ALLOW_DOWNLOADS"] = True
        webview.settings["ALLOW_FILE_URLS"] = False
        window = webview.create_window(TITLE, address, width=WIDTH, height=HEIGHT, min_size=MIN_SIZE)
        window.events.shown += lambda: _report("shown")
        threading.Thread(target=_close_at_end_of_input, args=(window,), daemon=True).start()
        webview.start(gui=gui, icon=icon)
    except Exception as error:  # toolkits raise anything
        _report(" ".join(str(error).split()) or type(error).__name__)


def _report(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _close_at_end_of_input(window: Any) -> None:
    sys.stdin.read()
    threading.Timer(CLOSE_TIMEOUT_S, os._exit, (0,)).start()  # in case that the toolkit hangs
    window.destroy()


if __name__ == "__main__":
    main(*sys.argv[1:])
