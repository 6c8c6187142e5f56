"""Accessibility of the studio's page: names, announcements, focus, layout and reduced motion."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from builders.pages import MANY_STEPS, drop, job_state, job_view, press, submit_job
from PIL import Image
from playwright.sync_api import Page, expect

from impasto.config import Config

pytestmark = [pytest.mark.weights, pytest.mark.xdist_group("access")]

ALPHA = f"{Config().alpha:g}"

NEW_PAGE = f"""
- banner:
  - heading "Impasto studio" [level=1]
- form "New picture":
  - group "Photo":
    - list:
      - listitem:
        - text: cat sample
        - button "Mask…"
    - button "Choose a photo"
    - 'button "Sample photo: cat" [pressed]'
  - group "Painting":
    - button "Choose a painting"
    - 'button "Sample painting: swirl" [pressed]'
    - 'button "Sample painting: ink"'
    - paragraph:
      - checkbox "Blend several"
  - group "Settings":
    - combobox "Preset"
    - spinbutton "Style strength (α), as a number": "{ALPHA}"
    - slider "Style strength (α)"
    - spinbutton "Size"
    - spinbutton "Steps"
    - combobox "Colors"
    - combobox "Start"
    - combobox "Network"
    - group: Help for these options
    - group: All options
  - button "Paint"
- main "Picture":
  - figure "cat":
    - img "cat"
  - figure "swirl":
    - img "swirl"
- region "Queue and gallery"
- status
"""

PAINTING = """
- main "Picture":
  - heading "cat as swirl" [level=2]
  - paragraph: Painting
  - img "cat as swirl, preview"
  - progressbar "Progress"
  - paragraph: /Step \\d+ of 2000/
  - button "Pause"
  - button "Cancel"
  - button "Use these settings"
  - spinbutton "Change α of this run, as a number": "{alpha}"
  - slider "Change α of this run"
  - figure "Losses":
    - list:
      - listitem: /total [\\d.]+/
      - listitem: /content [\\d.]+/
      - listitem: /style [\\d.]+/
    - img /Losses up to step \\d+. total/
  - group: Settings
- region "Queue and gallery":
  - region "Queue":
    - heading "Queue" [level=2]
    - list:
      - listitem:
        - link /cat as swirl Painting \\d+ %/
""".replace("{alpha}", ALPHA)

FINISHED = """
- main "Picture":
  - heading "cat as swirl" [level=2]
  - paragraph: Finished
  - img "cat as swirl"
  - img "The photo"
  - slider "Share of the photo shown": "50"
  - paragraph: /96 × 64 px/
  - link "Download"
  - combobox "Format"
  - button "Use these settings"
  - button "Remove"
  - figure "Losses"
- region "Queue and gallery":
  - region "Gallery":
    - heading "Gallery" [level=2]
    - list:
      - listitem:
        - link /\\d+. cat as swirl, α {alpha}/
""".replace("{alpha}", ALPHA)

MASK = """
- dialog "Mask":
  - heading "Mask" [level=2]
  - paragraph: Paint over areas to keep unchanged.
  - radiogroup "Brush":
    - radio "Keep unchanged" [checked]
    - radio "Erase"
  - slider "Brush size"
  - button "Undo"
  - button "Clear"
  - application /Arrow keys move the brush/
  - button "Cancel"
  - button "Use the mask"
"""

ELEMENTS_WITHOUT_NAME = """() => [
        ...document.querySelectorAll("a, button, select, input, summary, img, svg, progress, canvas")
    ]
    .filter((node) => node.checkVisibility() && !node.closest("[aria-hidden]"))
    .filter((node) => !(node.textContent.trim() || node.ariaLabel || node.labels?.length || node.alt != null))
    .filter((node) => !node.querySelector("img")?.alt)
    .map((node) => node.outerHTML)"""

RECORD_ANNOUNCEMENTS = """() => {
    window.heard = [];
    const said = document.querySelector("#announcements");
    new MutationObserver(() => heard.push(said.textContent)).observe(said, { childList: true });
}"""

PARTS = ["main h2", ".preview", ".frame + progress", ".progress-text", ".actions", "#change-alpha", ".chart"]

PARTS_OUT_OF_VIEW = """(parts) => parts.filter((part) => {
    const { top, bottom, left, right } = document.querySelector(part).getBoundingClientRect();
    const under = document.querySelector(".top").getBoundingClientRect().bottom - 1;
    return top < under || bottom > innerHeight || left < 0 || right > innerWidth || bottom - top < 4;
})"""


def test_page_has_names_and_landmarks(page: Page) -> None:
    expect(page.locator("body")).to_match_aria_snapshot(NEW_PAGE)
    assert page.evaluate(ELEMENTS_WITHOUT_NAME) == []
    page.get_by_text("All options").click()
    assert page.evaluate(ELEMENTS_WITHOUT_NAME) == []
    page.evaluate(RECORD_ANNOUNCEMENTS)
    submit_job(page, MANY_STEPS)
    expect(page.locator(".curve-total")).to_have_attribute("points", re.compile(r"\S+ \S+ \S+"))
    expect(page.locator("body")).to_match_aria_snapshot(PAINTING)
    assert page.evaluate(ELEMENTS_WITHOUT_NAME) == []
    press(page, "Pause")
    expect(job_state(page)).to_have_text("Paused")
    press(page, "Cancel")
    expect(job_state(page)).to_have_text("Cancelled")
    # Each state is announced once, and no step is. Short-lived states may be skipped.
    announcements = [text for text in page.evaluate("heard") if not re.search("Pausing|Cancelling", text)]
    assert announcements == [
        f"cat as swirl: {state_name}" for state_name in ("Waiting", "Painting", "Paused", "Cancelled")
    ]
    press(page, "Remove")

    submit_job(page, 2)
    expect(job_state(page)).to_have_text("Finished")
    expect(page.locator(".before-after")).to_be_visible()
    expect(page.locator("body")).to_match_aria_snapshot(FINISHED)
    expect(page.locator("#announcements")).to_have_text("cat as swirl: Finished")
    assert page.evaluate(ELEMENTS_WITHOUT_NAME) == []


def test_failure_is_announced_and_invalid_field_visible(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 700})
    size = page.get_by_label("Size", exact=True)
    size.fill("0")
    page.locator("#request").evaluate("form => form.scrollTo({ top: 0, behavior: 'instant' })")
    page.locator("#request").evaluate("form => form.requestSubmit()")  # a click by Playwright would scroll
    expect(page.get_by_role("alert").filter(has_text="Size: ")).to_be_visible()
    expect(size).to_be_focused()
    expect(size).to_have_attribute("aria-invalid", "true")
    page.wait_for_function("""() => {
        const field = document.activeElement.getBoundingClientRect();
        return field.top > 0 && field.bottom < document.querySelector(".send").getBoundingClientRect().top;
    }""")
    size.fill("64")
    expect(page.locator("#problem")).to_be_empty()
    expect(size).not_to_have_attribute("aria-invalid", "true")


def test_dialogs_move_and_restore_focus(page: Page) -> None:
    mask = page.get_by_role("button", name="Mask…")
    mask.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Mask")
    expect(dialog).to_be_visible()
    expect(page.locator("body")).to_match_aria_snapshot(MASK)
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    for _ in range(12):
        page.keyboard.press("Tab")
        # After the last element the focus leaves the page for the browser.
        assert page.evaluate("document.activeElement.matches('body, dialog, dialog *')")
    dialog.locator("canvas").focus()
    page.keyboard.press("Space")
    expect(dialog.get_by_role("status")).to_have_text("The brush is down")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(mask).to_be_focused()

    submit_job(page, 2)
    expect(job_state(page)).to_have_text("Finished")
    remove = job_view(page).get_by_role("button", name="Remove")
    remove.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Remove this picture?")).to_be_visible()
    page.keyboard.press("Escape")
    expect(remove).to_be_focused()
    page.keyboard.press("Tab")
    page.get_by_role("link", name="cat as swirl").first.focus()
    page.keyboard.press("Enter")
    press(page, "Use these settings")
    expect(page.locator("#request")).to_be_focused()


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1280, 800), (1024, 768), (820, 1180), (390, 844)])
def test_picture_progress_and_chart_fit_on_screen(page: Page, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    start_painting(page)
    assert page.evaluate(PARTS_OUT_OF_VIEW, PARTS) == []
    share = page.locator(".preview").evaluate("node => node.clientWidth * node.clientHeight / innerWidth / innerHeight")
    assert share > 0.18


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1280, 800), (390, 844)])
def test_portrait_picture_leaves_room_for_the_chart(
    page: Page, photo: Path, tmp_path: Path, width: int, height: int
) -> None:
    upright = tmp_path / "upright.png"
    Image.open(photo).convert("RGB").resize((120, 180)).save(upright)
    page.set_viewport_size({"width": width, "height": height})
    drop(page, upright, "content")
    expect(page.locator("#photo")).to_contain_text("120 × 180")
    start_painting(page)
    assert page.evaluate(PARTS_OUT_OF_VIEW, [part for part in PARTS if part != "#change-alpha"]) == []
    assert page.locator(".preview").evaluate("node => node.clientHeight / innerHeight") > 0.45


def start_painting(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")  # scrolls at once
    submit_job(page, MANY_STEPS)
    expect(page.locator(".curve-total")).to_have_attribute("points", re.compile(r"\S+ \S+"))
    expect(page.locator(".preview:not(.no-preview)")).to_be_visible()
    page.wait_for_timeout(500)  # wait for the layout to settle


def test_respects_reduced_motion(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    count_animated = """() => [...document.querySelectorAll("*")].filter((node) => {
        const style = getComputedStyle(node);
        return style.transitionDuration !== "0s" || style.animationName !== "none" || style.scrollBehavior === "smooth";
    }).length"""
    assert page.evaluate(count_animated) == 0
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(count_animated) > 0
