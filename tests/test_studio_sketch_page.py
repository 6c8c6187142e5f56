"""Sketches on the studio's page: of the form, and of every preset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from builders.pages import MANY_STEPS, drop, job_state, press, submit_job
from builders.servers import RunningStudio
from playwright.sync_api import Page, expect

from impasto.config.presets import PRESETS

pytestmark = [pytest.mark.weights, pytest.mark.xdist_group("page")]


def test_pair_is_sketched_while_it_is_chosen(page: Page, studio: RunningStudio, photo: Path, painting: Path) -> None:
    drop(page, photo, "content", "Whiskers.jpg")
    drop(page, painting, "style", "waves.png")
    sketch, note = page.locator("#sketch"), page.locator("#sketch-note")
    expect(sketch).to_have_attribute("alt", "Sketch: Whiskers as waves")
    expect(note).to_contain_text("A quick sketch")
    first = sketch.get_attribute("src")
    page.get_by_label("Style strength (α), as a number").fill("50")
    expect(note).to_have_text("Sketching…")
    expect(note).to_contain_text("A quick sketch")
    assert sketch.get_attribute("src") != first
    page.get_by_label("Size", exact=True).fill("0")
    page.get_by_label("Style strength (α), as a number").fill("60")
    page.wait_for_timeout(1000)
    expect(note).to_contain_text("A quick sketch")  # an invalid form has no sketch
    assert page.request.get(f"{studio.address}/api/jobs").json() == []


def test_presets_show_the_pair_and_choose(page: Page, photo: Path, painting: Path) -> None:
    asked: list[Any] = []
    page.on("request", lambda request: asked.append(request.post_data_json) if "/api/sketches" in request.url else None)
    expect(page.locator("#sketch-note")).to_contain_text("A quick sketch")
    assert [request["preset"] for request in asked] == ["painterly"]  # a closed list costs nothing
    summary = page.get_by_text("See every preset")
    summary.focus()
    page.keyboard.press("Enter")
    presets = page.locator(".preset")
    expect(presets).to_have_count(len(PRESETS))
    neighbor = page.get_by_role("button", name="cat as swirl: neighbor")
    expect(neighbor).to_be_visible()
    expect(presets.nth(0)).to_have_attribute("aria-pressed", "true")
    neighbor.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Preset")).to_have_value("neighbor")
    expect(neighbor).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#sketch-note")).to_contain_text("A quick sketch")
    # Another pair drops what was painted and what was about to be.
    page.get_by_label("Sample painting: ink").click()
    expect(page.locator(".preset img:visible")).to_have_count(0)
    expect(page.get_by_role("button", name="cat as ink: painterly")).to_be_visible()
    summary.click()
    expect(page.locator("#sketch")).to_have_attribute("alt", "Sketch: cat as ink")


def test_run_goes_first(page: Page) -> None:
    submit_job(page, MANY_STEPS)
    expect(job_state(page)).to_have_text("Painting")
    page.get_by_label("Style strength (α), as a number").fill("33")
    expect(page.locator("#sketch-note")).to_have_text("The sketch waits until the queue is empty.")
    expect(job_state(page)).to_have_text("Painting")
    press(page, "Cancel")
    expect(job_state(page)).to_have_text("Cancelled")
    expect(page.locator("#sketch-note")).to_contain_text("A quick sketch")
