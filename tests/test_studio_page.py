"""The studio's page in a browser, with a server and a worker."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.pages import (
    MANY_STEPS,
    SIZE,
    WatchedPage,
    download,
    drop,
    is_submission,
    job_number,
    job_state,
    job_view,
    open_at,
    press,
    read_job,
    submit_job,
)
from builders.pixels import read_pixels
from builders.servers import RunningStudio, kill_studio, start_studio
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

import impasto
from impasto.images import load_profile

pytestmark = [pytest.mark.weights, pytest.mark.xdist_group("page")]


def test_drop_paint_download(page: Page, studio: RunningStudio, photo: Path, painting: Path, tmp_path: Path) -> None:
    drop(page, photo, "content", "Whiskers.jpg")
    expect(page.locator("#photo")).to_contain_text("Whiskers")
    drop(page, painting, "style", "waves.png")
    expect(page.locator("#paintings")).to_contain_text("waves")
    job = submit_job(page, 60)

    image = job_view(page).locator(".preview:not(.no-preview) img")
    expect(image).to_have_attribute("src", re.compile(f"/api/jobs/{job}/preview"))
    for curve in ("total", "content", "style"):
        expect(page.locator(f".curve-{curve}")).to_have_attribute("points", re.compile(r"\S+ \S+"))
    expect(job_view(page)).to_contain_text(re.compile(r"Step \d+ of \d+ · \d+ × \d+ px"))
    expect(job_state(page)).to_have_text("Finished")
    expect(page.locator(".mark")).to_have_count(len(read_job(page, studio, job)["scales"]) - 1)

    slider = page.get_by_label("Share of the photo shown")
    slider.press("Home")
    assert page.locator(".before-after").evaluate("node => node.style.getPropertyValue('--at')") == "0%"
    path = download(page, tmp_path)
    assert re.fullmatch(rf"Whiskers_waves_{job}\.png", path.name)
    recipe = impasto.read_recipe(path)
    assert (recipe.config.size, recipe.config.iterations) == (SIZE, 60)
    assert impasto.read_recipe(download(page, tmp_path, "webp")) == recipe
    expect(page.locator(".gallery li").first).to_have_attribute("data-job", str(job))


def test_reload_and_second_tab_show_the_running_job(page: Page, studio: RunningStudio, browser: Browser) -> None:
    job = submit_job(page, MANY_STEPS)
    expect(page.locator(".preview:not(.no-preview)")).to_be_visible()
    points = page.locator(".curve-total").get_attribute("points") or ""
    other = browser.new_page()
    other.goto(page.url)
    page.reload()
    for tab in (page, other):
        expect(job_state(tab)).to_have_text("Painting")
        expect(tab.locator(".preview:not(.no-preview)")).to_be_visible()
        tab.wait_for_function(
            "least => document.querySelector('.curve-total')?.getAttribute('points').split(' ').length >= least",
            arg=len(points.split()),
        )
    press(other, "Pause")
    expect(job_state(page)).to_have_text("Paused")
    step = read_job(page, studio, job)["step"]
    press(page, "Resume")
    expect(job_state(other)).to_have_text("Painting")
    other.wait_for_function("step => Number(/Step (\\d+)/.exec(document.body.innerText)?.[1]) > step", arg=step)
    press(page, "Cancel")
    for tab in (page, other):
        expect(job_state(tab)).to_have_text("Cancelled")
    press(other, "Remove")
    page.wait_for_url(lambda url: "job" not in url)
    other.close()


def test_alpha_can_be_changed_while_painting(page: Page, studio: RunningStudio, tmp_path: Path) -> None:
    job = submit_job(page, 120)
    expect(page.locator(".preview:not(.no-preview)")).to_be_visible()
    page.get_by_label("Change α of this run, as a number").fill("40")
    page.keyboard.press("Tab")
    expect(page.locator(".alpha-change .help")).to_have_text(f"Now: 40. Before: {impasto.Config().alpha:g}.")
    expect(job_state(page)).to_have_text("Finished")
    changes = impasto.read_recipe(download(page, tmp_path)).alpha_changes
    assert [change.alpha for change in changes] == [40]
    press(page, "Use these settings")
    assert page.locator("#alpha-number").input_value() == "40"
    assert read_job(page, studio, job)["alphas"] == [impasto.Config().alpha, 40]


def test_dropped_result_restores_its_settings(page: Page, studio: RunningStudio, desk: Path) -> None:
    photo, swirl = desk / "photo.png", desk / "bay.png"
    Image.open(desk / "photo.jpg").resize((90, 60)).save(photo)
    Image.open(desk / "painting.png").resize((60, 60)).save(swirl)
    options: dict[str, Any] = {"size": 64, "iterations": 3, "alpha": 12.5, "color": "luminance"}
    impasto.stylize(photo, swirl, **options).save(desk / "painted.png")
    drop(page, swirl, "style")
    expect(page.locator("#paintings")).to_contain_text("60 × 60")
    page.get_by_label("Sample painting: ink").click()
    drop(page, desk / "painted.png", "content")
    page.get_by_role("button", name="Use its settings").click()
    expect(page.locator("#problem")).to_have_text("Not stored here any more: the content photo. Choose it again.")
    expect(page.locator("#paintings .name")).to_have_text("bay")
    assert page.locator("#alpha-number").input_value() == "12.5"
    assert page.get_by_label("Colors").input_value() == "luminance"
    page.get_by_label("Sample photo: cat").click()
    job = submit_job(page, 3, Size="64")
    view = read_job(page, studio, job)
    assert {name: view["config"][name] for name in options} == options


def test_exr_is_offered_where_it_can_be_written(page: Page, tmp_path: Path) -> None:
    submit_job(page, 2)
    expect(job_state(page)).to_have_text("Finished")
    assert download(page, tmp_path, "exr").read_bytes().startswith(b"v/1\x01")

    def answer(route: Route) -> None:
        response = route.fetch()
        form = response.json()
        route.fulfill(response=response, json=form | {"formats": form["formats"] | {"exr": False}})

    page.route("**/api/options", answer)
    page.reload()
    missing = page.get_by_label("Format").locator("option[value=exr]")
    expect(missing).to_have_text("EXR (needs impasto[exr])")
    expect(missing).to_be_disabled()


def test_printer_profile_is_uploaded_and_used(
    watched: WatchedPage, page: Page, studio: RunningStudio, desk: Path, tmp_path: Path
) -> None:
    page.get_by_text("All options").click()
    (tmp_path / "Paper.ICM").write_bytes(load_profile("cmyk").data)
    choose = page.get_by_label("Choose a color profile")
    choose.set_input_files(desk / "photo.jpg")
    problem = "photo.jpg is no ICC profile. Give the .icc or .icm file of a printer and paper."
    expect(page.locator(".upload .problem")).to_have_text(problem)
    watched.complaints[:] = [text for text in watched.complaints if "status of 422" not in text]
    choose.set_input_files(tmp_path / "Paper.ICM")
    expect(page.get_by_label("Color profile", exact=True).locator("option:checked")).to_have_text("Paper.ICM (CMYK)")
    expect(page.locator(".upload .problem")).to_be_empty()
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
    page.get_by_label("Rendering intent").select_option("saturation")
    page.get_by_label("Print size").fill("20x20mm")
    page.get_by_label("Pixels per inch").fill("80")
    page.get_by_label("Bleed (mm)").fill("0.125in")
    job = submit_job(page, 2, Size="")
    expect(job_state(page)).to_have_text("Finished")
    expect(page.get_by_label("Format")).to_have_value("tiff")
    recipe = impasto.read_recipe(download(page, tmp_path, "tiff"))
    assert (recipe.run.profile, recipe.config.bleed) == ("Paper.ICM", 3.175)
    view = read_job(page, studio, job)
    assert {picture["role"] for picture in view["inputs"]} == {"content", "style", "profile"}
    assert view["run"] == {"intent": "saturation"}
    page.reload()
    press(page, "Use these settings")
    expect(page.get_by_label("Color profile", exact=True).locator("option:checked")).to_have_text("Paper.ICM")
    expect(page.get_by_label("Rendering intent")).to_have_value("saturation")
    again = read_job(page, studio, submit_job(page, 3, Size=""))
    assert [picture["sha256"] for picture in again["inputs"]] == [picture["sha256"] for picture in view["inputs"]]
    assert again["run"] == view["run"]


def test_protected_region_stays_unchanged(page: Page, photo: Path, painting: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.png"
    Image.open(photo).convert("RGB").resize((SIZE, 64)).save(small)
    drop(page, small, "content")
    expect(page.locator("#photo")).to_contain_text("96 × 64")
    page.get_by_role("button", name="Mask…").click()
    dialog = page.get_by_role("dialog", name="Mask")
    dialog.get_by_label("Brush size").fill("40")
    box = dialog.locator("canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 4, box["y"] + 4)
    page.mouse.down()
    page.mouse.move(box["x"] + 4, box["y"] + box["height"] - 4, steps=12)
    page.mouse.up()
    dialog.get_by_role("button", name="Use the mask").click()
    expect(page.get_by_role("button", name="Edit the mask")).to_be_visible()
    submit_job(page, 12)
    expect(job_state(page)).to_have_text("Finished")
    painted = download(page, tmp_path)
    before, after = read_pixels(small), read_pixels(painted)
    assert np.array_equal(before[:, :12], after[:, :12])
    assert np.abs(before[:, 48:].astype(int) - after[:, 48:]).mean() > 10

    # Restoring the settings restores the mask, which can be edited further.
    drop(page, painted, "content")
    page.get_by_role("button", name="Use its settings").click()
    expect(page.locator("#photo")).to_contain_text("small")
    page.get_by_role("button", name="Edit the mask").click()
    dialog.get_by_label("Brush size").fill("20")
    box = dialog.locator("canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] - 4, box["y"] + 4)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 4, box["y"] + box["height"] - 4, steps=12)
    page.mouse.up()
    dialog.get_by_role("button", name="Use the mask").click()
    expect(dialog).to_be_hidden()
    submit_job(page, 12)
    expect(job_state(page)).to_have_text("Finished")
    edited = read_pixels(download(page, tmp_path))
    assert np.array_equal(before[:, :12], edited[:, :12])
    assert np.array_equal(before[:, -6:], edited[:, -6:])
    assert np.abs(before[:, 48:72].astype(int) - edited[:, 48:72]).mean() > 10


def submitted_roles(page: Page) -> list[str]:
    """Submit a small job and return the roles of its inputs."""
    with page.expect_response(is_submission) as response:
        submit_job(page, 2)
    return [file["role"] for file in response.value.json()["inputs"]]


def test_mask_editor_waits_for_images(page: Page) -> None:
    page.get_by_label("Blend several").check()
    page.get_by_label("Sample painting: ink").click()
    page.get_by_role("button", name="Mask…").click()
    dialog = page.get_by_role("dialog", name="Mask")
    dialog.get_by_label("2: ink").check()
    dialog.locator("canvas").click()
    dialog.get_by_role("button", name="Use the mask").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Remove ink").click()
    expect(page.locator("#photo")).to_contain_text("The mask was made for cat with swirl and ink")
    assert not [file for file in submitted_roles(page) if "mask" in file]
    expect(job_state(page)).to_have_text("Finished")
    page.get_by_label("Sample painting: ink").click()
    expect(page.get_by_role("button", name="Edit the mask")).to_be_visible()
    assert [file for file in submitted_roles(page) if "mask" in file] == ["content_mask", "content_mask_2"]
    expect(job_state(page)).to_have_text("Finished")  # the page follows a new job only when its own has ended
    # A restored mask protects nothing that was not protected before.
    press(page, "Use these settings")
    page.get_by_role("button", name="Edit the mask").click()
    dialog.get_by_role("button", name="Use the mask").click()
    expect(dialog).to_be_hidden()
    assert submitted_roles(page)[3:] == ["content_mask", "content_mask_2"]


def test_region_per_style_by_keyboard(page: Page, studio: RunningStudio) -> None:
    page.get_by_label("Blend several").check()
    page.get_by_label("Sample painting: ink").click()
    page.get_by_label("Share of ink").fill("5")
    page.get_by_role("button", name="Mask…").click()
    dialog = page.get_by_role("dialog", name="Mask")
    dialog.get_by_label("2: ink").check()
    dialog.get_by_label("Brush size").fill("40")
    dialog.locator("canvas").focus()
    for key in ("Space", "ArrowRight", "ArrowRight", "ArrowDown", "Space", "ArrowUp", "Space", "Space"):
        page.keyboard.press(key)
    page.keyboard.press("Control+z")
    dialog.get_by_role("button", name="Use the mask").click()
    expect(dialog).to_be_hidden()
    view = read_job(page, studio, submit_job(page, MANY_STEPS))
    assert [file["role"] for file in view["inputs"]] == [
        "content",
        "style",
        "style_2",
        "content_mask",
        "content_mask_2",
    ]
    assert view["config"]["style_weights"] == "1,2.24"


def test_refuses_a_mask_without_a_region_for_a_style(page: Page) -> None:
    page.get_by_label("Blend several").check()
    for name in ("ink", "dots"):
        page.get_by_label(f"Sample painting: {name}").click()
    page.get_by_role("button", name="Mask…").click()
    dialog = page.get_by_role("dialog", name="Mask")
    dialog.get_by_label("2: ink").check()
    dialog.locator("canvas").click()
    dialog.get_by_role("button", name="Use the mask").click()
    expect(dialog.get_by_role("alert")).to_contain_text("No area is marked for 3: dots.")
    dialog.get_by_label("3: dots").check()
    dialog.get_by_label("Brush size").fill("40")
    box = dialog.locator("canvas").bounding_box()
    assert box is not None
    for share in (0.1, 0.5, 0.9):
        page.mouse.move(box["x"] + 1, box["y"] + box["height"] * share)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"] * share, steps=4)
        page.mouse.up()
        dialog.get_by_label("2: ink").check()
    dialog.get_by_role("button", name="Use the mask").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Nothing is left to paint as 1: swirl.")
    dialog.get_by_role("button", name="Undo").click()
    dialog.get_by_role("button", name="Use the mask").click()
    expect(dialog).to_be_hidden()


def test_escapes_names_and_refuses_bad_files(page: Page, photo: Path, tmp_path: Path, watched: WatchedPage) -> None:
    name = '<img src=x onerror="document.title=1"><script>alert(1)</script>.jpg'
    pending: list[Route] = []
    # During the upload the page shows the local name, afterwards what follows its last slash.
    page.route("**/api/files*", lambda route: pending.append(route), times=1)
    drop(page, photo, "content", name)
    expect(page.locator("#photo")).to_contain_text("<img src=x onerror=")
    while not pending:  # the page shows the name before it sends anything
        page.wait_for_timeout(20)
    pending[0].continue_()
    submit_job(page, MANY_STEPS)
    expect(job_view(page).locator("h2")).to_contain_text("script> as swirl")
    assert "alert" not in page.evaluate("[...document.scripts].map((script) => script.text).join()")
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(photo.read_bytes()[:3000])
    drop(page, bad, "style")
    expect(page.locator("#paintings .problem")).to_contain_text("bad.jpg cannot be read as an image: ")
    expect(page.locator("#paintings .name")).to_contain_text("swirl")
    page.get_by_label("Size", exact=True).fill("0")
    page.get_by_role("button", name="Paint", exact=True).click()
    expect(page.locator("#problem")).to_contain_text("Size: ")
    page.get_by_label("Size", exact=True).fill("64")
    page.get_by_text("All options").click()
    page.get_by_label("Style layers").fill("nothing")
    page.get_by_role("button", name="Paint", exact=True).click()
    expect(page.locator("#problem")).to_contain_text("nothing")
    watched.complaints[:] = [text for text in watched.complaints if "status of 422" not in text]


def test_errors_name_the_fields_of_the_form(page: Page, watched: WatchedPage) -> None:
    page.get_by_text("All options").click()
    page.get_by_label("Content in calm areas").fill("1")
    page.get_by_label("Content loss").select_option("self-similarity")
    page.get_by_role("button", name="Paint", exact=True).click()
    problem = '"Content in calm areas" weighs squared errors: leave it out with "Content loss: self-similarity".'
    expect(page.locator("#problem")).to_have_text(problem)
    watched.complaints[:] = [text for text in watched.complaints if "status of 422" not in text]


def test_painting_by_keyboard_alone(page: Page) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.id")
        if focused in ("option-size", "option-iterations"):
            page.keyboard.type(str(SIZE if focused == "option-size" else 2))
        if focused == "paint":
            break
    page.keyboard.press("Enter")
    job_number(page)
    expect(job_state(page)).to_have_text("Finished")
    page.reload()
    expect(page.locator("#job .before-after")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "job"


@pytest.mark.parametrize("width", [360, 800, 1400, 2560])
def test_page_never_scrolls_sideways(page: Page, studio: RunningStudio, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    is_too_wide = "document.documentElement.scrollWidth > innerWidth"
    assert not page.evaluate(is_too_wide)
    for job in page.request.get(f"{studio.address}/api/jobs").json()[-2:]:
        page.goto(f"{studio.address}/#job={job['id']}")
        expect(job_view(page).locator("h2")).to_be_visible()
        assert not page.evaluate(is_too_wide)
    page.goto(f"{studio.address}/api/docs")
    expect(page.get_by_text("POST /api/jobs", exact=True)).to_be_visible()
    assert not page.evaluate(is_too_wide)


def test_results_can_be_compared(page: Page) -> None:
    first = submit_job(page, 2)
    expect(job_state(page)).to_have_text("Finished")
    page.get_by_label("Sample painting: dots").click()
    page.get_by_role("button", name="Paint", exact=True).click()
    page.wait_for_function("first => location.hash !== `#job=${first}`", arg=first)
    expect(job_state(page)).to_have_text("Finished")
    second = job_number(page)
    page.get_by_label("Compare with").select_option(str(first))
    page.wait_for_url(re.compile(f"#job={second}&with={first}"))
    page.get_by_role("group", name=re.compile("Two pictures")).press("+")
    transforms = page.locator(".pane img").evaluate_all("images => images.map((image) => image.style.transform)")
    assert transforms[0] == transforms[1]
    assert transforms[0].startswith("scale(1.4)")


def test_token_link_grants_access(watched: WatchedPage, tmp_path: Path) -> None:
    running = start_studio(tmp_path, "--token", "twenty-signs-or-more", "--workers", "0")
    try:
        page = watched.page
        page.goto(running.address)
        for token in ("wrong", "twenty-signs-or-more"):
            page.get_by_label("Token").fill(token)
            page.keyboard.press("Enter")
            if token == "wrong":
                expect(page.get_by_role("alert").filter(has_text="The token is wrong")).to_be_visible()
        expect(page.get_by_label("Preset")).to_have_value("painterly")
        submit_job(page, 2)
        expect(job_state(page)).to_have_text("Waiting")
    finally:
        kill_studio(running)


def test_drop_without_a_file_is_explained(page: Page) -> None:
    """Check a drop as WebKitGTK announces it; it must not leave the page."""
    transfer = page.evaluate_handle("() => new DataTransfer()")
    transfer.evaluate("transfer => transfer.setData('text/uri-list', 'file:///photo.jpg')")
    for kind in ("dragover", "drop"):
        is_taken = """(element, [kind, dataTransfer]) => !element.dispatchEvent(
            new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }))"""
        assert page.locator("body").evaluate(is_taken, [kind, transfer])
    expect(page.get_by_role("dialog", name="No file has arrived")).to_contain_text("Choose…")


def test_page_shows_a_lost_connection(browser_page: Page, tmp_path: Path) -> None:
    running = start_studio(tmp_path, "--workers", "0")
    try:
        open_at(browser_page, running.address)
    finally:
        kill_studio(running)
    expect(browser_page.locator("#connection")).to_have_text("Reconnecting…")
    browser_page.get_by_role("button", name="Paint", exact=True).click()
    expect(browser_page.locator("#problem")).to_have_text("The studio does not respond. Is it still running?")
    browser_page.evaluate("() => { const now = Date.now; Date.now = () => now() + 60_000; }")
    gone = "The studio does not answer any more. Start it again, or close this window."
    expect(browser_page.locator("#connection")).to_have_text(gone, timeout=20_000)


@pytest.fixture
def browser_page(watched: WatchedPage) -> Page:
    """Open a page without checking its console."""
    return watched.page


def test_form_sends_only_changes_from_the_preset(page: Page) -> None:
    with page.expect_request("**/api/jobs") as request:
        page.get_by_label("Preset").select_option("sketch")
        submit_job(page, MANY_STEPS)
    body = json.loads(request.value.post_data or "")
    assert body["preset"] == "sketch"
    assert body["config"] == {"size": SIZE, "iterations": MANY_STEPS}
    assert (body["content"], body["styles"]) == ({"sample": "cat"}, [{"sample": "swirl"}])
