"""Clips on the studio's page: drop one, try a frame, paint it, play it beside the original."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.clips import damage, write_clip
from builders.pages import WatchedPage, drop, is_submission, job_state, job_view, press, read_job
from builders.servers import RunningStudio
from PIL import Image
from playwright.sync_api import Page, expect

from impasto.clips import open_clip

pytestmark = [pytest.mark.weights, pytest.mark.xdist_group("page")]

PLAYED = "() => [...document.querySelectorAll('.player video')].map((video) => [video.currentTime, video.paused])"
READY = "() => [...document.querySelectorAll('.player video')].filter((video) => video.readyState >= 2).length === 2"

PLAYER = """
- main "Picture":
  - heading "Two scenes as swirl" [level=2]
  - paragraph: Finished
  - figure "The clip"
  - figure "Painted"
  - button "Play"
  - slider "Time": "0"
  - checkbox "Loop"
  - checkbox "Sound" [checked]
  - paragraph: /64 × 48 px, 10 frames, 0:00.4, painted in/
  - link "Download"
  - button "Use these settings"
  - button "Remove"
"""


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Write a clip of two scenes, of 7 and 5 frames, with sound."""
    scenes = np.random.default_rng(1).integers(0, 256, (2, 12, 16, 3), np.uint8)
    pixels = [scene.repeat(6, axis=0).repeat(6, axis=1) for scene in scenes]
    frames = [np.roll(pixels[number >= 7], number, axis=1) for number in range(12)]
    return write_clip(tmp_path / "Two scenes.mp4", frames, sound="aac")


def submit(page: Page, button: str) -> int:
    with page.expect_response(is_submission) as response_event:
        page.get_by_role("button", name=button).click()
    job = int(response_event.value.json()["id"])
    page.wait_for_url(f"**/#job={job}")
    return job


def fill_clip_options(page: Page, **values: str) -> None:
    page.get_by_text("Clip options").click()
    for label, value in values.items():
        page.get_by_label(label.replace("_", " "), exact=True).fill(value)
    page.get_by_text("Clip options").click()


def test_drop_try_paint_play(page: Page, studio: RunningStudio, scenes: Path, tmp_path: Path) -> None:
    drop(page, scenes, "style")
    problem = "Two scenes.mp4 is a clip. Use it as the photo, and a picture as the painting."
    expect(page.locator("#paintings .problem")).to_have_text(problem)
    drop(page, scenes, "content")
    expect(page.locator("#photo .about .name")).to_have_text("Two scenes96 × 72 · 0:00.4 · 25 fps · sound")
    shots = page.locator(".shots button")
    expect(shots).to_have_count(2)
    expect(shots.nth(0)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#estimate")).to_have_text("12 frames. Try one first, to see how long they take.")
    page.get_by_role("button", name="Shot 2, from 0:00.2 to 0:00.4").click()
    frame = page.get_by_label("Frame to try")
    expect(frame).to_have_value("7")
    frame.press("ArrowRight")
    expect(frame).to_have_attribute("aria-valuetext", "Frame 9 of 12, at 0:00.3")
    expect(page.locator("#job figcaption").first).to_have_text("Two scenes 0.32 s")

    for label, value in (("Size", "64"), ("Steps", "2")):
        page.get_by_label(label, exact=True).fill(value)
    fill_clip_options(page, End="0.4", Frame_iterations="2")
    tried = submit(page, "Try one frame")
    expect(job_state(page)).to_have_text("Finished")
    view = read_job(page, studio, tried)
    assert (view["inputs"][0]["name"], view["video"]) == ("Two scenes 0.32 s.png", None)
    expect(page.locator("#estimate")).to_have_text(re.compile(r"^10 frames, about .+ in all\.$"))

    clip = submit(page, "Paint the clip")
    expect(page.locator(".progress-text")).to_contain_text(re.compile("Frame [1-9] of 10|10 frames"))
    expect(page.locator(".losses, #change-alpha")).to_have_count(0)
    expect(job_state(page)).to_have_text("Finished")
    expect(job_view(page)).to_match_aria_snapshot(PLAYER)
    page.wait_for_function(READY)
    play_to_the_end(page)
    page.get_by_label("Time", exact=True).fill("0.2")
    page.wait_for_function(f"() => ({PLAYED})().every(([time]) => Math.abs(time - 0.2) < 0.05)")
    with page.expect_download() as event:
        page.get_by_role("link", name="Download").click()
    event.value.save_as(tmp_path / event.value.suggested_filename)
    assert event.value.suggested_filename == f"Two_scenes_swirl_{clip}.mp4"
    assert open_clip(tmp_path / event.value.suggested_filename).frame_count == 10
    picture = page.locator(f".gallery [data-job='{clip}']")
    expect(picture.locator(".play-sign")).to_be_visible()

    # What the clip took is known now, also to a page that has tried no frame.
    page.reload()
    drop(page, scenes, "content")
    for label, value in (("Size", "64"), ("Steps", "2")):
        page.get_by_label(label, exact=True).fill(value)
    fill_clip_options(page, Frame_iterations="2")
    expect(page.locator("#estimate")).to_have_text(re.compile(r"^12 frames, about .+ in all\.$"))
    fill_clip_options(page, Frame_iterations="3")
    expect(page.locator("#estimate")).to_have_text("12 frames. Try one first, to see how long they take.")

    # The settings come back: from the job, and from the file.
    drop(page, tmp_path / event.value.suggested_filename, "content")
    expect(page.locator("#photo .about .name")).to_contain_text("swirl")
    page.get_by_label("Size", exact=True).fill("128")
    page.get_by_role("button", name="Use its settings").click()
    expect(page.locator("#photo .about .name")).to_contain_text("Two scenes")
    expect(page.get_by_label("Size", exact=True)).to_have_value("64")
    expect(page.locator("#option-end")).to_have_value("0.4")
    page.get_by_label("Sample photo: cat").click()
    expect(page.get_by_role("button", name="Paint", exact=True)).to_be_visible()
    expect(page.locator(".clip, #try")).to_have_count(2)
    expect(page.locator(".clip:visible, #try:visible")).to_have_count(0)
    press(page, "Use these settings")
    expect(page.locator("#photo .about .name")).to_contain_text("Two scenes")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390


def play_to_the_end(page: Page) -> None:
    """Play both clips, and require that they stay within a few frames of each other."""
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function(f"() => ({PLAYED})().every(([time]) => time > 0.1)")
    (original, _), (painted, _) = page.evaluate(PLAYED)
    assert abs(original - painted) < 0.2
    page.wait_for_function(f"() => ({PLAYED})().every(([time, paused]) => paused && time > 0.35)")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()


@pytest.mark.parametrize("kind", ["gif", "prores"])
def test_clips_that_browsers_do_not_play_are_copied(
    page: Page, scenes: Path, tmp_path: Path, kind: str, studio: RunningStudio
) -> None:
    frames = [
        (frame[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8) for frame in open_clip(scenes).frames(0, 4)
    ]
    writers: dict[str, Callable[[], Any]] = {
        "gif": lambda: Image.fromarray(frames[0]).save(
            tmp_path / "moving.gif", save_all=True, append_images=[Image.fromarray(frame) for frame in frames[1:]]
        ),
        "prores": lambda: write_clip(
            tmp_path / "moving.mov", frames, codec="prores_ks", pixel_format="yuv422p10le", sound="pcm_s16le"
        ),
    }
    writers[kind]()
    drop(page, next(tmp_path.glob("moving.*")), "content")
    expect(page.locator(".shots button")).to_have_count(1)
    for label, value in (("Size", "64"), ("Steps", "1")):
        page.get_by_label(label, exact=True).fill(value)
    fill_clip_options(page, Frame_iterations="1", Every="2")
    job = submit(page, "Paint the clip")
    expect(job_state(page)).to_have_text("Finished")
    page.wait_for_function(READY)
    assert read_job(page, studio, job)["result"]["frames"] == 2


def test_damaged_clip_ends_before_the_damage(watched: WatchedPage, page: Page, scenes: Path, tmp_path: Path) -> None:
    frame = (open_clip(scenes).frame(0)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    path = write_clip(tmp_path / "torn.mov", [frame] * 12, codec="prores_ks", pixel_format="yuv422p10le")
    damage(path, 8)
    drop(page, path, "content")
    expect(page.locator(".clip > .problem")).to_contain_text("frame 9 (at 0.32 s) is damaged")
    expect(page.locator("#option-end")).to_have_value("0.32")
    expect(page.locator("#estimate")).to_contain_text("8 frames.")
    path.write_bytes(b"no clip at all" * 99)
    drop(page, path, "content")
    expect(page.locator("#photo > .problem")).to_contain_text("torn.mov cannot be read as a video")
    watched.complaints[:] = [text for text in watched.complaints if "status of 422" not in text]


def test_clip_can_be_paused_cancelled_and_retried(page: Page, studio: RunningStudio, scenes: Path) -> None:
    drop(page, scenes, "content")
    expect(page.locator(".shots button")).to_have_count(2)
    for label, value in (("Size", "64"), ("Steps", "400")):
        page.get_by_label(label, exact=True).fill(value)
    job = submit(page, "Paint the clip")
    expect(job_view(page).locator(".preview:not(.no-preview)")).to_be_visible()
    expect(page.locator(".progress-text")).to_contain_text("Frame 1 of 12")
    press(page, "Pause")
    expect(job_state(page)).to_have_text("Paused")
    press(page, "Resume")
    expect(job_state(page)).to_have_text("Painting")
    press(page, "Cancel")  # while a shot is painted
    expect(job_state(page)).to_have_text("Cancelled")
    press(page, "Retry")
    expect(job_state(page)).to_have_text(re.compile("Waiting|Painting"))
    press(page, "Cancel")
    expect(job_state(page)).to_have_text("Cancelled")
    press(page, "Remove")
    page.wait_for_url(lambda url: "job" not in url)
    assert page.request.get(f"{studio.address}/api/jobs/{job}").status == 404
