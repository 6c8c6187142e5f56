"""Actions on the studio's page in a browser."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import ConsoleMessage, Locator, Page, Response, expect

from builders.servers import RunningStudio


@dataclass
class WatchedPage:
    """A page, the addresses that it requested, and its errors."""

    page: Page
    requests: list[str]
    complaints: list[str]


SIZE = 96
MANY_STEPS = 2000
"""More steps than any test waits for."""

WAIT_MS = 120_000

ACTIVE = ("queued", "running", "pausing", "paused")

DATA_TRANSFER = """([name, data]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], name));
    return transfer;
}"""


def open_at(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.get_by_label("Preset")).to_have_value("painterly")


def drop(page: Page, path: Path, role: str, name: str | None = None) -> None:
    data = base64.b64encode(path.read_bytes()).decode()
    transfer = page.evaluate_handle(DATA_TRANSFER, [name or path.name, data])
    page.dispatch_event("body", "dragover", {"dataTransfer": transfer})
    page.dispatch_event(f".drop-zone[data-role={role}]", "drop", {"dataTransfer": transfer})


def is_submission(response: Response) -> bool:
    """Return True if the response is to a submitted job. Uploads use POST too."""
    return response.request.method == "POST" and response.url.endswith("/api/jobs")


def submit_job(page: Page, steps: int, **settings: str) -> int:
    """Submit a small job, wait until the page shows it, and return its number."""
    for label, value in {"Size": str(SIZE), "Steps": str(steps), **settings}.items():
        page.get_by_label(label, exact=True).fill(value)
    with page.expect_response(is_submission) as response_event:
        page.get_by_role("button", name="Paint", exact=True).click()
    job = int(response_event.value.json()["id"])
    page.wait_for_url(f"**/#job={job}")
    return job


def job_number(page: Page) -> int:
    page.wait_for_url(re.compile(r"#job=\d+$"))
    return int(page.url.rpartition("=")[2])


def press(page: Page, name: str) -> None:
    job_view(page).get_by_role("button", name=name, exact=True).click()


def job_view(page: Page) -> Locator:
    return page.get_by_role("main")


def job_state(page: Page) -> Locator:
    return job_view(page).locator("header .state")


def read_job(page: Page, studio: RunningStudio, job: int) -> dict[str, Any]:
    view: dict[str, Any] = page.request.get(f"{studio.address}/api/jobs/{job}").json()
    return view


def download(page: Page, into: Path, kind: str = "png") -> Path:
    page.get_by_label("Format").select_option(kind)
    with page.expect_download() as event:
        page.get_by_role("link", name="Download").click()
    path = into / event.value.suggested_filename
    event.value.save_as(path)
    return path


def watch(page: Page) -> WatchedPage:
    """Record the requests and errors of a page from now on."""
    watched = WatchedPage(page, [], [])
    page.on("request", lambda request: watched.requests.append(request.url))
    page.on("requestfailed", lambda request: watched.complaints.append(f"failed: {request.url[:100]}"))
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))

    def hear(message: ConsoleMessage) -> None:
        is_slow = "GL Driver Message (OpenGL, Performance" in message.text  # without a graphics card, WebGL is slow
        if message.type in ("error", "warning") and not is_slow:
            watched.complaints.append(message.text)

    page.on("console", hear)
    return watched
