"""Sketches of the studio: painted once, while no job waits, and only as long as a client asks for them."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from builders.servers import kill_studio, start_studio
from builders.waiting import wait_until
from PIL import Image
from starlette.testclient import TestClient

from impasto.images import open_image
from impasto.jobs import Job, JobStore
from impasto.jobs.sketches import SketchWorker, find_sketches
from impasto.jobs.worker import Worker
from impasto.studio import Studio, create_app
from impasto.studio.schemas import PaintRequest
from impasto.studio.sketches import SIZE_PX, Sketches

BASE_URL = "http://127.0.0.1"
URL = "/api/sketches"


@pytest.fixture
def owned(tmp_path: Path) -> Studio:
    """Return a studio without a server."""
    return Studio(JobStore(tmp_path / "data"))


@pytest.fixture
def client(owned: Studio) -> Iterator[TestClient]:
    with TestClient(create_app(owned), base_url=BASE_URL) as client:
        yield client


@pytest.fixture
def no_networks_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sketches be asked for where nothing will paint them."""
    monkeypatch.setattr("impasto.weights.is_cached", lambda _: True)


def request_of(client: TestClient | httpx2.Client, photo: Path, painting: Path, **rest: Any) -> dict[str, Any]:
    """Upload a pair and return the request for its sketch."""
    stored = [client.post("/api/files", content=path.read_bytes()).json()["sha256"] for path in (photo, painting)]
    return {"content": {"sha256": stored[0]}, "styles": [{"sha256": stored[1]}]} | rest


def paint_one(studio: Studio) -> Job:
    job = SketchWorker(Worker(studio.store, "w")).run_one()
    assert job is not None
    return job


def ask(studio: Studio, request: dict[str, Any], *answers: bool) -> bytes | None:
    """Ask for a sketch, from a client that wants it as often as `answers` say so."""
    replies = iter(answers)

    async def is_wanted() -> bool:
        return next(replies)

    painting = studio.sketches.paint(PaintRequest(**request), 60, is_wanted)
    with ThreadPoolExecutor(1) as thread:  # the browser tests leave an event loop in this one
        return thread.submit(asyncio.run, painting).result()


def add_job(client: TestClient, request: dict[str, Any]) -> int:
    return int(client.post("/api/jobs", json=request | {"config": {"size": 64, "iterations": 2}}).json()["id"])


# ---- The API -------------------------------------------------------------------------------------


@pytest.mark.weights
def test_sketch_is_painted_once(client: TestClient, owned: Studio, photo: Path, painting: Path) -> None:
    request = request_of(client, photo, painting, config={"alpha": 9, "size": 2000, "iterations": 500})
    assert client.post(f"{URL}?wait=0", json=request).status_code == 202
    assert paint_one(owned).state == "done"
    for change in ({}, {"config": {"alpha": 9, "effort": "draft"}}):  # a sketch has its own size and steps
        response = client.post(f"{URL}?wait=0", json=request | change)
        assert (response.status_code, response.headers["content-type"]) == (200, "image/jpeg")
        assert max(Image.open(io.BytesIO(response.content)).size) == SIZE_PX
    assert client.post(f"{URL}?wait=0", json=request | {"config": {"alpha": 8}}).status_code == 202
    assert client.get("/api/jobs").json() == []
    again = TestClient(create_app(Studio(JobStore(owned.store.folder))), base_url=BASE_URL)
    assert again.post(f"{URL}?wait=0", json=request).content == response.content


def test_new_version_paints_again(
    client: TestClient, owned: Studio, no_networks_needed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = {"content": {"sample": "cat"}, "styles": [{"sample": "ink"}]}
    for version in ("1", "1", "2"):
        monkeypatch.setattr("impasto.studio.sketches.__version__", version)
        assert client.post(f"{URL}?wait=0", json=request).status_code == 202
    assert owned.sketches.store.count_queued() == 2


def test_nothing_is_stored_before_the_first_sketch(client: TestClient, owned: Studio) -> None:
    client.get("/")
    assert SketchWorker(Worker(owned.store, "w")).run_one() is None
    assert not list(owned.store.folder.glob("sketches*"))


def test_sketch_waits_while_a_job_is_painted_or_ready(
    client: TestClient, owned: Studio, photo: Path, painting: Path, no_networks_needed: None
) -> None:
    request = request_of(client, photo, painting)
    job = add_job(client, request)
    assert client.post(f"{URL}?wait=0.2", json=request).status_code == 202
    sketch_worker = SketchWorker(Worker(owned.store, "w"))
    assert sketch_worker.run_one() is None
    assert owned.store.claim("other") is not None
    assert sketch_worker.run_one() is None
    assert client.get(f"/api/jobs/{job}").json()["state"] == "running"
    assert owned.sketches.store.count_queued() == 1


@pytest.mark.weights
def test_sketch_stops_when_a_job_arrives_and_continues_after_it(
    client: TestClient, owned: Studio, photo: Path, painting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("impasto.jobs.painter.UPDATE_INTERVAL_S", 0)
    request = request_of(client, photo, painting)
    assert client.post(f"{URL}?wait=0", json=request).status_code == 202
    jobs: list[int] = []

    def submit_once() -> bool:
        if not jobs:
            jobs.append(add_job(client, request))
        return False

    worker = Worker(owned.store, "w")
    sketch_worker = SketchWorker(worker, submit_once)
    stopped = sketch_worker.run_one()
    assert stopped is not None
    assert (stopped.state, stopped.checkpoint is None) == ("queued", False)
    assert 0 < stopped.progress < 0.5
    assert sketch_worker.run_one() is None
    finished = worker.run_one()
    assert finished is not None
    assert finished.state == "done"
    continued = sketch_worker.run_one()
    assert continued is not None
    assert (continued.id, continued.state, continued.attempt) == (stopped.id, "done", 2)


def test_sketch_that_nobody_wants_is_cancelled_until_it_is_asked_for_again(
    client: TestClient, owned: Studio, photo: Path, painting: Path, no_networks_needed: None
) -> None:
    request = request_of(client, photo, painting)
    assert ask(owned, request, True, False) is None
    (job,) = owned.sketches.store.jobs()
    assert job.state == "cancelled"
    assert client.post(f"{URL}?wait=0", json=request).status_code == 202
    assert [(each.id, each.state) for each in owned.sketches.store.jobs()] == [(job.id, "queued")]


@pytest.mark.weights
def test_client_that_leaves_takes_no_sketch_from_another(
    client: TestClient, owned: Studio, photo: Path, painting: Path
) -> None:
    request = request_of(client, photo, painting)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(client.post, f"{URL}?wait=60", json=request)
        wait_until(lambda: (owned.store.folder / "sketches").is_dir() and owned.sketches.store.count_queued())
        assert ask(owned, request, False) is None
        wait_until(lambda: owned.sketches.store.count_queued())
        assert paint_one(owned).state == "done"
        assert waiting.result(300).status_code == 200


def test_refused_requests_say_why_in_one_line(
    client: TestClient, owned: Studio, photo: Path, painting: Path, no_networks_needed: None
) -> None:
    request = request_of(client, photo, painting)
    damaged = owned.store.files.path(request["content"]["sha256"])
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:300])
    response = client.post(URL, json=request)
    assert (response.status_code, "\n" in response.json()["error"]) == (422, False)
    assert str(owned.store.folder) not in response.text
    damaged.write_bytes(whole)
    for change, message in (
        ({"content": {"sha256": "0" * 64}}, "does not exist any more"),
        ({"styles": [{"sample": "nobody"}]}, "nobody"),
        ({"config": {"alpha": -1}}, "alpha"),
        ({"config": {"init": "image"}}, "init"),
        ({"preset": "/etc/passwd.toml"}, "no preset"),
    ):
        response = client.post(URL, json=request | change)
        assert response.status_code in (409, 422)
        assert message in response.json()["error"]


def test_sketch_downloads_nothing(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("impasto.weights.is_cached", lambda _: False)
    request = {"content": {"sample": "cat"}, "styles": [{"sample": "ink"}], "config": {"network": "alexnet"}}
    response = client.post(URL, json=request)
    assert response.status_code == 409
    assert "impasto weights pull alexnet" in response.json()["error"]


@pytest.mark.weights
def test_failed_sketch_is_tried_again(client: TestClient, owned: Studio, painting: Path, tmp_path: Path) -> None:
    narrow = tmp_path / "narrow.png"
    Image.new("RGB", (400, 4), "red").save(narrow)
    request = request_of(client, narrow, painting)
    for _ in range(2):
        assert client.post(f"{URL}?wait=0", json=request).status_code == 202
        assert paint_one(owned).state == "failed"
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(client.post, f"{URL}?wait=60", json=request)
        wait_until(lambda: owned.sketches.store.count_queued())
        paint_one(owned)
        response = waiting.result(300)
    assert response.status_code == 409
    assert "px" in response.json()["error"]


def test_queue_and_cache_are_bounded(owned: Studio, no_networks_needed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    owned.sketches = Sketches(owned.pictures, max_kept=2)
    monkeypatch.setattr("impasto.studio.sketches.MAX_WAITING", 4)
    store = owned.sketches.store
    with TestClient(create_app(owned), base_url=BASE_URL) as client:

        def sketch(alpha: int) -> int:
            pair = {"content": {"sample": "cat"}, "styles": [{"sample": "ink"}]}
            return client.post(f"{URL}?wait=0", json=pair | {"config": {"alpha": alpha}}).status_code

        assert [sketch(alpha) for alpha in range(5)] == [202, 202, 202, 202, 409]
        while claim := store.claim("w"):
            store.finish(claim, {"sha256": "0" * 64, "suffix": ".png"})
        assert sketch(9) == 202
    assert [job.config["alpha"] for job in store.jobs()] == [2, 3, 9]


def test_large_pictures_are_reduced_once_and_masks_never(
    client: TestClient, owned: Studio, tmp_path: Path, no_networks_needed: None
) -> None:
    large, mask = tmp_path / "large.png", tmp_path / "mask.png"
    Image.linear_gradient("L").resize((1500, 1000)).convert("RGB").save(large)
    Image.new("L", (1500, 1000), 255).save(mask)
    request = request_of(client, large, mask)
    request |= {"styles": [{"sample": "ink"}], "protect": request["styles"][0]}
    assert client.post(f"{URL}?wait=0", json=request).status_code == 202
    (job,) = owned.sketches.store.jobs()
    files = owned.sketches.store.files
    sizes = {role: open_image(files.path(str(file["sha256"]))).size for role, file in job.inputs.items()}
    assert sizes == {"content": (341, 512), "style": (410, 512), "protect": (1000, 1500)}


# ---- The server ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.weights
def test_server_cancels_the_sketch_of_a_client_that_left(tmp_path: Path, photo: Path, painting: Path) -> None:
    running = start_studio(tmp_path / "data", "--workers", "0", has_samples=True)
    try:
        with httpx2.Client(base_url=running.address) as client:
            request = request_of(client, photo, painting)
            with pytest.raises(httpx2.TimeoutException):
                client.post(URL, json=request, timeout=3)
        store = find_sketches(JobStore(tmp_path / "data"))
        assert store is not None
        wait_until(lambda: [job.state for job in store.jobs()] == ["cancelled"])
        waiting = threading.Thread(target=lambda: httpx2.post(f"{running.address}{URL}", json=request, timeout=300))
        waiting.start()
        wait_until(store.count_queued)
        assert running.interrupt() == 0  # a client that waits does not keep the server
        waiting.join(300)
    finally:
        kill_studio(running)


@pytest.mark.slow
@pytest.mark.weights
def test_sketch_of_a_killed_worker_is_painted_by_the_next(tmp_path: Path, photo: Path, painting: Path) -> None:
    running = start_studio(tmp_path / "data", has_samples=True)
    try:
        with httpx2.Client(base_url=running.address) as client, ThreadPoolExecutor(1) as thread:
            request = request_of(client, photo, painting)
            waiting = thread.submit(client.post, f"{URL}?wait=60", json=request, timeout=300)
            wait_until(lambda: (tmp_path / "data" / "sketches").is_dir())
            store = find_sketches(JobStore(tmp_path / "data"))
            assert store is not None
            wait_until(lambda: [job.state for job in store.jobs()] == ["running"])
            (worker,) = running.workers()
            worker.kill()
            response = waiting.result(300)
            while response.status_code == 202:
                response = client.post(f"{URL}?wait=60", json=request, timeout=300)
            assert response.status_code == 200
            assert store.jobs()[0].attempt == 2
    finally:
        kill_studio(running)
