"""What a person does on the studio's page."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, Response, expect

from builders.servers import RunningStudio


@dataclass
class WatchedPage:
    """A page, the addresses that it requested, and its errors."""

    page: Page
    requests: list[str]
    complaints: list[str]


SIZE = 96
MANY_STEPS = 2000
"""Steps that are never all taken."""

WAIT_MS = 120_000

ACTIVE = ("queued", "running", "pausing", "paused")

DROPPED = """([name, data]) => {
    const carried = new DataTransfer();
    carried.items.add(new File([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], name));
    return carried;
}"""


def open_at(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.get_by_label("Preset")).to_have_value("painterly")


def drop(page: Page, path: Path, role: str, name: str | None = None) -> None:
    data = base64.b64encode(path.read_bytes()).decode()
    carried = page.evaluate_handle(DROPPED, [name or path.name, data])
    page.dispatch_event("body", "dragover", {"dataTransfer": carried})
    page.dispatch_event(f".drop-zone[data-role={role}]", "drop", {"dataTransfer": carried})


def submitted(response: Response) -> bool:
    """Return True if this answers a submitted job; pictures are uploaded by POST too."""
    return response.request.method == "POST" and response.url.endswith("/api/jobs")


def submit_job(page: Page, steps: int, **settings: str) -> int:
    """Submit a small job, wait until the page shows it, and return its number."""
    for label, value in {"Size": str(SIZE), "Steps": str(steps), **settings}.items():
        page.get_by_label(label, exact=True).fill(value)
    with page.expect_response(submitted) as answer:
        page.get_by_role("button", name="Paint", exact=True).click()
    job = int(answer.value.json()["id"])
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
    told: dict[str, Any] = page.request.get(f"{studio.address}/api/jobs/{job}").json()
    return told


def download(page: Page, into: Path, kind: str = "png") -> Path:
    page.get_by_label("Format").select_option(kind)
    with page.expect_download() as found:
        page.get_by_role("link", name="Download").click()
    path = into / found.value.suggested_filename
    found.value.save_as(path)
    return path


def watch(page: Page) -> WatchedPage:
    """Record from now on what a page requests, and its errors."""
    seen = WatchedPage(page, [], [])
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("requestfailed", lambda request: seen.complaints.append(f"failed: {request.url[:100]}"))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("console", lambda said: seen.complaints.append(said.text) if said.type in ("error", "warning") else None)
    return seen
