"""The studio's page on a phone, used by touch."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import numpy as np
import pytest
from builders.pages import MANY_STEPS, WatchedPage, job_number, job_state, job_view, read_job, submit_job, watch
from builders.servers import RunningStudio
from builders.touch import PHONE, Touch
from PIL import Image
from playwright.sync_api import Browser, Page, expect

pytestmark = [pytest.mark.weights, pytest.mark.xdist_group("touch")]

FINGER_PX = 44
"""Minimum target height in Apple's guidelines."""

MIN_PX = 24
"""Minimum target size of WCAG 2.2, criterion 2.5.8."""

TOO_SMALL = """([height, least]) => {
    const seen = [...document.querySelectorAll("a, button, select, summary, input:not([type=file])")]
        .filter((node) => node.checkVisibility() && !node.matches(".skip, .before-after input"));
    const box = (node) => node.getBoundingClientRect();
    const large = (node) => node.matches("[type=checkbox], [type=radio]") ? least : height;
    const small = seen.filter((node) => box(node).height < large(node) || box(node).width < least);
    return small.map((node) => node.outerHTML);
}"""


@pytest.fixture
def watched(browser: Browser) -> Iterator[WatchedPage]:
    """Open the page on a phone."""
    context = browser.new_context(**PHONE)
    yield watch(context.new_page())
    context.close()


def bounds(page: Page, selector: str) -> tuple[float, float, float, float]:
    box = page.locator(selector).bounding_box()
    assert box is not None
    return box["x"], box["y"], box["width"], box["height"]


def test_drawing_by_touch_does_not_scroll(page: Page, studio: RunningStudio) -> None:
    page.get_by_role("button", name="Mask…").tap()
    x, y, width, height = bounds(page, "dialog canvas")
    scroll_state = "[scrollY, document.querySelector('dialog').scrollTop, visualViewport.scale]"
    before = page.evaluate(scroll_state)
    left, right = x + 12, x + width - 12
    Touch(page).drag(((left, y + height - 5), (left, y + 5)), ((right, y + 5), (right, y + height - 5)))
    assert page.evaluate(scroll_state) == before
    page.get_by_role("button", name="Use the mask").tap()
    expect(page.get_by_role("button", name="Edit the mask")).to_be_focused()
    files = {file["role"]: file["sha256"] for file in read_job(page, studio, submit_job(page, MANY_STEPS))["inputs"]}
    thumbnail = page.request.get(f"{studio.address}/api/files/{files['protect']}/thumbnail?side=256").body()
    mask = np.asarray(Image.open(io.BytesIO(thumbnail)).convert("L"))
    assert mask[:, :8].min() > 240
    assert mask[:, mask.shape[1] // 2 :].max() < 16  # the second finger draws nothing


def test_touch_moves_the_slider_and_still_scrolls(page: Page) -> None:
    submit_job(page, 2)
    expect(job_state(page)).to_have_text("Finished")
    x, y, width, height = bounds(page, ".before-after")
    share = "node => Number.parseFloat(node.style.getPropertyValue('--at'))"
    Touch(page).drag(((x + width * 0.8, y + height * 0.2), (x + width * 0.25, y + height * 0.2)))
    assert page.locator(".before-after").evaluate(share) == pytest.approx(25, abs=3)
    expect(page.get_by_label("Share of the photo shown")).to_be_focused()
    page.touchscreen.tap(x + width * 0.9, y + height * 0.7)
    assert page.locator(".before-after").evaluate(share) == pytest.approx(90, abs=3)
    top = page.evaluate("scrollY")
    Touch(page).drag(((x + 100, y + height - 20), (x + 100, y - 20)))
    page.wait_for_function("top => scrollY > top + 50", arg=top)


def test_pinch_zooms_both_pictures(page: Page) -> None:
    first = submit_job(page, 2)
    expect(job_state(page)).to_have_text("Finished")
    page.get_by_role("button", name="Paint", exact=True).tap()
    page.wait_for_function("first => location.hash !== `#job=${first}`", arg=first)
    job_number(page)
    expect(job_state(page)).to_have_text("Finished")
    page.get_by_label("Compare with").select_option(str(first))
    page.emulate_media(reduced_motion="reduce")  # scrolls at once
    page.locator(".pane img").first.scroll_into_view_if_needed()
    page.wait_for_timeout(500)  # wait for the layout to settle
    x, y, width, height = bounds(page, ".pane >> nth=0")
    middle = y + height / 2
    paths = [((x + width * (0.5 + side * 0.1), middle), (x + width * (0.5 + side * 0.3), middle)) for side in (-1, 1)]
    Touch(page).drag(*paths)
    transforms = page.locator(".pane img").evaluate_all("images => images.map((image) => image.style.transform)")
    assert transforms[0] == transforms[1]
    scale = re.match(r"scale\(([\d.]+)\)", transforms[0])
    assert scale is not None
    assert float(scale[1]) == pytest.approx(3, rel=0.1)
    assert page.evaluate("visualViewport.scale") == 1


def test_touch_targets_are_large_enough(page: Page) -> None:
    sizes = [FINGER_PX, MIN_PX]
    page.get_by_label("Blend several").check()
    page.get_by_label("Sample painting: ink").tap()
    page.get_by_text("All options").tap()
    assert page.evaluate(TOO_SMALL, sizes) == []
    page.get_by_role("button", name="Mask…").tap()
    expect(page.get_by_role("dialog", name="Mask")).to_be_visible()
    assert page.evaluate(TOO_SMALL, sizes) == []
    page.get_by_role("button", name="Cancel").tap()
    submit_job(page, MANY_STEPS)
    expect(job_view(page).get_by_role("button", name="Pause")).to_be_visible()
    assert page.evaluate(TOO_SMALL, sizes) == []
