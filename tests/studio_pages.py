"""The studio's page as a person meets it: a browser, a server and a worker, and what is done there."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Watched
from playwright.sync_api import Locator, Page, expect
from servers import Running, ended, opened

SIZE = 96
LONG = 2000
"""Steps that are never all taken."""

WAIT_MS = 60_000

ACTIVE = ("queued", "running", "pausing", "paused")

DROPPED = """([name, data]) => {
    const carried = new DataTransfer();
    carried.items.add(new File([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], name));
    return carried;
}"""


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One that is open for all of these tests, as a person's is."""
    running = opened(tmp_path_factory.mktemp("studio"))
    yield running
    ended(running)


@pytest.fixture
def page(studio: Running, watched: Watched) -> Iterator[Page]:
    """Open the page; in the end no job is left and the console is clean."""
    page = watched.page
    page.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    open_at(page, studio.address)
    yield page
    # A page that opens while a job runs shows that job, so the next test has to find none.
    while active := [job for job in page.request.get(f"{studio.address}/api/jobs").json() if job["state"] in ACTIVE]:
        for job in active:
            page.request.post(f"{studio.address}/api/jobs/{job['id']}/cancel")
        page.wait_for_timeout(100)
    outside = [url for url in watched.requests if not url.startswith((studio.address, "data:", "blob:"))]
    # A stream that is closed, and a picture that nobody waits for any more, count as failed.
    wrong = [text for text in watched.complaints if not re.match(r"failed: .*/api/(events|files|jobs|samples)", text)]
    assert (outside, wrong) == ([], [])


def open_at(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.get_by_label("Preset")).to_have_value("painterly")


def drop(page: Page, path: Path, role: str, name: str | None = None) -> None:
    data = base64.b64encode(path.read_bytes()).decode()
    carried = page.evaluate_handle(DROPPED, [name or path.name, data])
    page.dispatch_event("body", "dragover", {"dataTransfer": carried})
    page.dispatch_event(f".drop-zone[data-role={role}]", "drop", {"dataTransfer": carried})


def paint(page: Page, steps: int, **settings: str) -> int:
    """Submit a small job, wait until the page shows it, and return its number."""
    for label, value in {"Size": str(SIZE), "Steps": str(steps), **settings}.items():
        page.get_by_label(label, exact=True).fill(value)
    with page.expect_response(lambda response: response.request.method == "POST") as answer:
        page.get_by_role("button", name="Paint", exact=True).click()
    job = int(answer.value.json()["id"])
    page.wait_for_url(f"**/#job={job}")
    return job


def number(page: Page) -> int:
    page.wait_for_url(re.compile(r"#job=\d+$"))
    return int(page.url.rpartition("=")[2])


def press(page: Page, name: str) -> None:
    stage(page).get_by_role("button", name=name, exact=True).click()


def stage(page: Page) -> Locator:
    return page.get_by_role("main")


def state(page: Page) -> Locator:
    return stage(page).locator("header .state")


def job_of(page: Page, studio: Running, job: int) -> dict[str, Any]:
    told: dict[str, Any] = page.request.get(f"{studio.address}/api/jobs/{job}").json()
    return told


def download(page: Page, into: Path, kind: str = "png") -> Path:
    page.get_by_label("Format").select_option(kind)
    with page.expect_download() as found:
        page.get_by_role("link", name="Download").click()
    path = into / found.value.suggested_filename
    found.value.save_as(path)
    return path
