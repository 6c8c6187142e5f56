"""Touch gestures on a page in a browser."""

from __future__ import annotations

from typing import Any

import numpy as np
from playwright.sync_api import Page

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}
"""Options of a browser context."""

Point = tuple[float, float]


class Touch:
    """Touch gestures on a page; Playwright itself can only tap."""

    def __init__(self, page: Page) -> None:
        self.session = page.context.new_cdp_session(page)

    def _touch(self, kind: str, *points: Point) -> None:
        touched = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(points)]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})

    def drag(self, *paths: tuple[Point, Point]) -> None:
        """Move each finger from its first to its second point, putting the fingers down one after another."""
        for count in range(1, len(paths) + 1):
            self._touch("touchStart", *(path[0] for path in paths[:count]))
        for share in np.linspace(0, 1, 12):
            self._touch("touchMove", *((a + (c - a) * share, b + (d - b) * share) for (a, b), (c, d) in paths))
        self._touch("touchEnd")
