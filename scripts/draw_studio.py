"""Take docs/studio.jpg, a screenshot of the studio during a run.

python scripts/draw_studio.py
"""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from browser import launch
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

PLACE = Path(__file__).parent.parent / "docs" / "studio.jpg"
VIEW = {"width": 1400, "height": 1060}
TIMEOUT_MS = 120_000


def take_screenshot(page: Page, address: str) -> bytes:
    """Return a screenshot of a default run that is two thirds done, with one picture in the gallery."""
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(address)
    for size, steps in (("256", "20"), ("512", "60")):
        page.get_by_label("Size", exact=True).fill(size)
        page.get_by_label("Steps", exact=True).fill(steps)
        page.get_by_role("button", name="Paint", exact=True).click()
        if size == "256":
            expect(page.get_by_text("Download", exact=True)).to_be_visible(timeout=TIMEOUT_MS)
            page.get_by_role("button", name="mosaic").click()
            expect(page.get_by_alt_text("Sketch: cat as mosaic")).to_be_visible(timeout=TIMEOUT_MS)
    expect(page.get_by_text(re.compile(r"Step 1[0-2]\d of")).first).to_be_visible(timeout=TIMEOUT_MS)
    return page.screenshot()


def main() -> None:
    """Start a private studio, paint, and take the screenshot."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        command = [sys.executable, "-m", "impasto", "studio", "--port", "0", "--no-browser", "--data-dir", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as studio:
            assert studio.stdout is not None
            address = studio.stdout.readline().split()[-1]
            browser = launch(playwright)
            try:
                page = browser.new_page(viewport=VIEW)  # type: ignore[arg-type]
                picture = Image.open(io.BytesIO(take_screenshot(page, address)))
                picture.convert("RGB").save(PLACE, quality=82, optimize=True)
            finally:
                browser.close()
                studio.send_signal(signal.SIGINT)


if __name__ == "__main__":
    main()
