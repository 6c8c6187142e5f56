"""Pictures of web pages, taken by the system's Chromium."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Playwright, sync_playwright

__all__ = ["draw_page", "launch"]

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def launch(playwright: Playwright) -> Browser:
    """Start the system's Chromium."""
    browser_path = next(filter(None, map(shutil.which, BROWSERS)))
    return playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])


def draw_page(html: str, place: Path) -> None:
    """Draw the element `main` of a page as a JPEG."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 2000, "height": 1200})
        page.set_content(html)
        picture = Image.open(io.BytesIO(page.locator("main").screenshot()))
        browser.close()
    picture.convert("RGB").save(place, quality=82, optimize=True)
