"""The system's Chromium, for tests and screenshots, and pictures of web pages."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Playwright, sync_playwright

__all__ = ["BROWSERS", "draw_page", "find_browser", "launch"]

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""Programs to look for; scripts/find_browser.sh has the same ones. A test compares them."""

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def find_browser() -> str | None:
    """Return the path of the system's Chromium, None if there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def launch(playwright: Playwright) -> Browser:
    """Start the system's Chromium, without a window."""
    return playwright.chromium.launch(executable_path=find_browser(), args=OPTIONS)


def draw_page(html: str, place: Path) -> None:
    """Draw the element `main` of a page as a JPEG."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 2000, "height": 1200})
        page.set_content(html)
        picture = Image.open(io.BytesIO(page.locator("main").screenshot()))
        browser.close()
    picture.convert("RGB").save(place, quality=82, optimize=True)
