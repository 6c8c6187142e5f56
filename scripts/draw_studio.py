"""Draw docs/studio.jpg: the studio while it paints, as a browser shows it.

python scripts/draw_studio.py
"""

from __future__ import annotations

import io
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

PLACE = Path(__file__).parent.parent / "docs" / "studio.jpg"
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
VIEW = {"width": 1400, "height": 1060}
PATIENCE_MS = 120_000


def shown(page: Page, address: str) -> bytes:
    """A screenshot of a default run that is two thirds done, with a picture before it in the gallery."""
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    for size, steps in (("256", "20"), ("512", "45")):
        page.get_by_label("Size", exact=True).fill(size)
        page.get_by_label("Steps", exact=True).fill(steps)
        page.get_by_role("button", name="Paint", exact=True).click()
        if size == "256":
            expect(page.get_by_text("Download", exact=True)).to_be_visible(timeout=PATIENCE_MS)
            page.get_by_role("button", name="mosaic").click()
    expect(page.get_by_text(re.compile(r"Step (7|8|9)\d of")).first).to_be_visible(timeout=PATIENCE_MS)
    return page.screenshot()


def main() -> None:
    """Open a studio of its own, paint, and look."""
    found = next(filter(None, map(shutil.which, BROWSERS)))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        command = [sys.executable, "-m", "impasto", "studio", "--port", "0", "--no-browser", "--data-dir", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as studio:
            assert studio.stdout is not None
            address = studio.stdout.readline().split()[-1]
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
            try:
                page = browser.new_page(viewport=VIEW)  # type: ignore[arg-type]
                picture = Image.open(io.BytesIO(shown(page, address)))
                picture.convert("RGB").save(PLACE, quality=82, optimize=True)
            finally:
                browser.close()
                studio.send_signal(signal.SIGINT)


if __name__ == "__main__":
    main()
