"""The studio as processes: server and workers, killed at any time, and the API checked against its schema."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import schemathesis
import schemathesis.specs.openapi.schemas
from builders.servers import RunningStudio, kill_studio, start_studio
from builders.slow_steps import NAME, set_slow
from builders.waiting import wait_until
from fastapi import FastAPI
from hypothesis import HealthCheck, given, seed, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from impasto import samples
from impasto.config import Config, Inputs, Plan, RunOptions
from impasto.jobs import Job, JobStore
from impasto.jobs.submit import submit
from impasto.run import drive, prepare_run
from impasto.studio import Studio, create_app
from impasto.studio.auth import AccessPolicy

SMALL: dict[str, Any] = {"size": 64, "iterations": 30, "scales": 2}
SHALLOW: dict[str, Any] = {"iterations": 10, "content_layers": "relu2_1", "style_layers": "relu1_1,relu2_1"}
"""Options of jobs that no test needs to last: all layers would take five times as long."""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningStudio]:
    studio = start_studio(tmp_path / "data", "--checkpoint-every", "0.2")
    yield studio
    kill_studio(studio)


def submit_job(store: JobStore, photo: Path, painting: Path, **options: Any) -> Job:
    run = RunOptions(precision="float32")
    return submit(store, Inputs(content=photo, styles=(painting,)), Config(**(SMALL | options)), run)


@pytest.mark.slow
@pytest.mark.weights
def test_draws_samples_paints_and_stops_on_a_signal(running: RunningStudio, tmp_path: Path) -> None:
    with httpx2.Client(base_url=running.address) as client:
        request = {"content": {"sample": "cat"}, "styles": [{"sample": "ink"}], "config": SMALL}
        number = client.post("/api/jobs", json=request, timeout=300).json()["id"]
        kinds = []
        with client.stream("GET", "/api/events", params={"job": number}, timeout=300) as stream:
            for line in stream.iter_lines():
                if line.startswith("event:"):
                    kinds.append(line.removeprefix("event: "))
                if '"state": "done"' in line:
                    break
        assert {"jobs", "losses", "preview"} == set(kinds)
        assert client.get(f"/api/jobs/{number}/result").content.startswith(b"\x89PNG")
        drawn = [tmp_path / "data" / "samples" / f"{name}-512.png" for name in samples.PAINTINGS]
        wait_until(lambda: all(path.is_file() for path in drawn))
        (worker,) = running.workers()
        listening = threading.Thread(target=lambda: client.get("/api/events", timeout=300))  # never ends on its own
        listening.start()
        assert running.interrupt() == 0
        listening.join(300)
        assert not listening.is_alive()
    assert not worker.is_running()
    assert running.process.stderr is not None
    assert "Traceback" not in running.process.stderr.read()


@pytest.mark.slow
@pytest.mark.weights
def test_killed_worker_is_replaced_and_job_resumes(
    running: RunningStudio, photo: Path, painting: Path, tmp_path: Path
) -> None:
    store = JobStore(tmp_path / "data")
    job = submit_job(store, photo, painting, iterations=400, scales=1)
    wait_until(lambda: store.get(job.id).checkpoint)
    (worker,) = running.workers()
    worker.kill()
    before = store.get(job.id)
    start = time.monotonic()
    again = wait_until(lambda: store.get(job.id).attempt > 1)
    assert again
    assert time.monotonic() - start < store.lease_s  # before the lease expires
    assert wait_until(lambda: store.get(job.id).progress > before.progress)


@pytest.mark.weights
def test_worker_releases_job_when_the_server_is_killed(
    running: RunningStudio, photo: Path, painting: Path, tmp_path: Path
) -> None:
    store = JobStore(tmp_path / "data")
    job = submit_job(store, photo, painting, iterations=2000, scales=1)
    wait_until(lambda: store.get(job.id).progress > 0)
    (worker,) = running.workers()
    running.process.kill()
    wait_until(lambda: store.get(job.id).state == "queued")
    assert store.get(job.id).checkpoint is not None
    wait_until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.usefixtures("slow_loss")
def test_random_kills_change_no_picture(photo: Path, painting: Path, tmp_path: Path) -> None:
    rng = random.Random(2026)
    store = JobStore(tmp_path / "data")
    options: dict[str, Any] = SHALLOW | {"style_loss": NAME}
    jobs = [submit_job(store, photo, painting, seed=seed, **options) for seed in range(3)]
    set_slow(True)

    def claims() -> int:
        return sum(store.get(job.id).attempt for job in jobs)

    def wait_for_claim(kills: int) -> None:
        wait_until(lambda: claims() > kills)

    # A killed worker is replaced at once. The worker of a killed server exits. Killing both leaves a lease to expire.
    victims = ["worker", "worker", "server", "both"]
    rng.shuffle(victims)
    running = start_studio(tmp_path / "data", "--checkpoint-every", "0.2", has_samples=True)
    try:
        for kills, victim in enumerate(victims):
            wait_for_claim(kills)
            if kills > 0:  # from then on, workers resume
                wait_until(lambda: any(store.get(job.id).checkpoint for job in jobs))
            time.sleep(rng.uniform(0, 1.0))
            workers = running.workers()
            if victim != "worker":
                running.process.kill()
            if victim != "server":
                for worker in workers:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        worker.kill()
            if victim != "worker":
                psutil.wait_procs(workers, timeout=300)
                kill_studio(running)
                running = start_studio(tmp_path / "data", "--checkpoint-every", "0.2")
        set_slow(False)
        wait_until(lambda: all(store.get(job.id).state not in ("queued", "running") for job in jobs))
    finally:
        kill_studio(running)
    assert [(store.get(job.id).state, store.get(job.id).error) for job in jobs] == [("done", None)] * 3
    assert claims() > len(victims)  # each kill was followed by another claim
    assert store.verify() == []
    assert not list((store.folder / "checkpoints").iterdir())
    for job in jobs:
        finished = store.get(job.id)
        assert finished.result is not None
        assert finished.plan is not None
        steps = [row["step"] for row in store.losses(job.id)]
        assert steps == sorted(set(steps))
        run = prepare_run(photo, painting, **(SMALL | options | {"seed": job.config["seed"]}))
        expected = drive(replace(run, recorded_plan=Plan(**finished.plan), options=RunOptions(precision="float32")))
        expected.save(tmp_path / "expected.png")
        assert store.files.path(finished.result["sha256"]).read_bytes() == (tmp_path / "expected.png").read_bytes()


@pytest.mark.slow
@pytest.mark.weights
def test_two_studios_share_one_queue(running: RunningStudio, tmp_path: Path, photo: Path, painting: Path) -> None:
    other = start_studio(tmp_path / "data")
    try:
        store = JobStore(tmp_path / "data")
        jobs = [submit_job(store, photo, painting, seed=seed, **SHALLOW) for seed in range(6)]
        wait_until(lambda: all(store.get(job.id).state == "done" for job in jobs))
        assert all(store.get(job.id).attempt == 1 for job in jobs)
        assert len({row.worker for row in jobs}) == 1
        for studio in (running, other):
            views = httpx2.get(f"{studio.address}/api/jobs").json()
            assert [view["state"] for view in views] == ["done"] * 6
        assert other.interrupt() == 0
    finally:
        kill_studio(other)


@pytest.mark.parametrize(("options", "status"), [(["--behind-proxy", "127.0.0.0/8"], 200), ([], 403)])
def test_accepts_requests_of_a_known_proxy(tmp_path: Path, options: list[str], status: int) -> None:
    token = "sixteen-signs-or-more"
    sharing = ["--name", "studio.example.org", "--token", token, "--workers", "0"]
    running = start_studio(tmp_path / "data", *sharing, *options)
    forwarded = {
        "host": "studio.example.org",
        "origin": "https://studio.example.org",
        "x-forwarded-for": "198.51.100.7",
        "x-forwarded-proto": "https",
    }
    try:
        signed_in = httpx2.post(f"{running.address}/api/session", json={"token": token}, headers=forwarded)
        assert signed_in.status_code == (204 if status == 200 else status)
        if status == 200:
            assert "Secure" in signed_in.headers["set-cookie"]
        else:
            assert "--behind-proxy" in signed_in.json()["error"]
        assert httpx2.head(running.address).status_code == 200
    finally:
        kill_studio(running)


def test_browser_in_the_foreground_does_not_block(tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text("#!/bin/sh\nsleep 60\n")
    browser.chmod(0o755)
    options = ["--port", "0", "--workers", "0", "--data-dir", str(tmp_path / "data")]
    command = [sys.executable, "-m", "impasto", "studio", *options]
    environment = os.environ | {"BROWSER": f"{browser} %s"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    try:
        address = process.stdout.readline().split()[-1]
        assert httpx2.get(f"{address}/api/health", timeout=300).status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(300) == 0
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


# ---- The API against its schema ------------------------------------------------------------------


def test_api_matches_its_schema(tmp_path: Path, photo: Path, painting: Path) -> None:
    """Check responses to generated requests, for all operations except the event stream."""
    store = JobStore(tmp_path)
    for _ in range(3):
        submit_job(store, photo, painting)
    store.cancel(1)
    store.pause(2)
    app = create_app(Studio(store, AccessPolicy(names=("testserver",)), max_queued=20))
    with ThreadPoolExecutor(1) as thread:  # the browser tests leave an event loop in this one
        assert thread.submit(check_operations, app).result() > 15


def check_operations(app: FastAPI) -> int:
    """Check every operation of an API against its schema and return their number."""
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", app).exclude(path="/api/events")
    count = 0
    for operation_or_error in schema.get_all_operations():
        assert isinstance(operation_or_error, Ok), operation_or_error
        operation = operation_or_error.ok()

        @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @seed(2026)
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            # The schema cannot express all rules for images and options.
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        check()
        count += 1
    return count
