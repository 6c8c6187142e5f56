"""Take docs/desktop.jpg, a screenshot of the studio's window, on a screen of its own.

It needs Xvfb, a window manager (openbox), and the extra `desktop`:

python scripts/draw_desktop.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from PIL import ImageGrab

from impasto.desktop import StudioWindow

PLACE = Path(__file__).parent.parent / "docs" / "desktop.jpg"
DISPLAY, SCREEN = ":98", (1440, 1010)
WIDTH_PX = 1100
REQUEST = {"content": {"sample": "cat"}, "styles": [{"sample": "mosaic"}], "config": {"size": 512}}
LOAD_S = 15.0


def main() -> None:
    """Start a screen and a private studio, paint, and take the screenshot."""
    os.environ["DISPLAY"] = DISPLAY
    os.environ.setdefault("QTWEBENGINE_DISABLE_SANDBOX", str(int(os.geteuid() == 0)))  # Chromium refuses root
    width, height = SCREEN
    commands = [["Xvfb", DISPLAY, "-screen", "0", f"{width}x{height}x24"], ["openbox"]]
    with tempfile.TemporaryDirectory() as folder:
        processes: list[subprocess.Popen[str]] = []
        try:
            for command in commands:
                processes.append(subprocess.Popen(command, stderr=subprocess.DEVNULL, text=True))
                time.sleep(1)
            studio = [sys.executable, "-m", "impasto", "studio", "--port", "0", "--no-browser", "--data-dir", folder]
            processes.append(subprocess.Popen(studio, stdout=subprocess.PIPE, text=True))
            stdout = processes[-1].stdout
            assert stdout is not None
            address = stdout.readline().split()[-1]
            window = StudioWindow(f"{address}/#job={paint(address)}")
            window.wait_until_shown()
            time.sleep(LOAD_S)
            picture = ImageGrab.grab(xdisplay=DISPLAY)
            window.close()
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait()
    box = picture.convert("L").point(lambda value: 255 * (value > 0)).getbbox()  # without the black screen around it
    window_only = picture.crop(box)
    window_only.thumbnail((WIDTH_PX, WIDTH_PX))
    window_only.save(PLACE, quality=80, optimize=True)


def paint(address: str) -> int:
    """Paint a picture, and return the number of its job."""
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{address}/api/jobs", json.dumps(REQUEST).encode(), headers)
    with urllib.request.urlopen(request) as response:
        number = int(json.load(response)["id"])
    while True:
        with urllib.request.urlopen(f"{address}/api/jobs/{number}") as response:
            if json.load(response)["state"] == "done":
                return number
        time.sleep(1)


if __name__ == "__main__":
    main()
