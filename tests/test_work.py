"""Workers: a job gives the same bytes as a direct run, even if workers are killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders.slow_steps import NAME, register, set_slow

import impasto
from impasto.cli import main
from impasto.config import Config, Inputs, Plan, RunOptions
from impasto.errors import ConfigError, OutputError
from impasto.images import open_image
from impasto.jobs import Job, JobError, JobStore
from impasto.jobs.submit import set_job_alpha, submit
from impasto.jobs.worker import Worker
from impasto.run import drive, prepare_run

SMALL: dict[str, Any] = {"size": 48, "iterations": 12, "scales": 2}
SMALL |= {"content_layers": "relu2_1", "style_layers": "relu1_1,relu2_1"}  # deeper ones take five times as long


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "data", lease_s=1.0)


def submit_job(store: JobStore, photo: Path, painting: Path, **options: Any) -> Job:
    output = options.pop("output", None)
    inputs = Inputs(content=photo, styles=(painting,))
    return submit(store, inputs, Config(**(SMALL | options)), RunOptions(precision="float32"), output=output)


def read_picture(store: JobStore, job: Job) -> bytes:
    assert job.result is not None
    return store.files.path(job.result["sha256"]).read_bytes()


@pytest.mark.weights
def test_job_matches_stylize(store: JobStore, photo: Path, painting: Path, tmp_path: Path) -> None:
    job = submit_job(store, photo, painting, output=str(tmp_path / "out.png"))
    finished = Worker(store, "w").run_one()
    assert finished is not None
    assert finished.state == "done", finished.error
    run = prepare_run(photo, painting, **SMALL, precision="float32")
    drive(run).save(tmp_path / "expected.png")
    assert (
        read_picture(store, finished) == (tmp_path / "expected.png").read_bytes() == (tmp_path / "out.png").read_bytes()
    )
    assert impasto.read_recipe(tmp_path / "out.png").inputs["content"].name == photo.name
    steps = store.losses(job.id)
    assert [row["step"] for row in steps] == list(range(1, 25))
    assert steps[-1]["total"] < steps[0]["total"]
    assert store.verify() == []
    assert Worker(store, "w").run_one() is None


@pytest.mark.weights
def test_failed_job_says_why_and_the_next_runs(store: JobStore, photo: Path, painting: Path, tmp_path: Path) -> None:
    (tmp_path / "poison.jpg").write_bytes(b"no picture at all")
    bad, good = submit_job(store, tmp_path / "poison.jpg", painting), submit_job(store, photo, painting)
    worker = Worker(store, "w")
    for _ in range(2):
        worker.run_one()
    assert store.get(bad.id).state == "failed"
    assert "poison.jpg" in str(store.get(bad.id).error)
    assert "\n" not in str(store.get(bad.id).error)
    assert store.get(good.id).state == "done"
    with pytest.raises(JobError, match="files"):
        submit(store, Inputs(content=[[0.5]], styles=(painting,)), Config())


@pytest.mark.slow
@pytest.mark.weights
def test_cancelled_job_resumes_on_retry(store: JobStore, photo: Path, painting: Path) -> None:
    reference = submit_job(store, photo, painting, iterations=16)
    job = submit_job(store, photo, painting, iterations=16)
    worker = Worker(store, "w")
    worker.run_one()

    def cancel(seen: Job, progress: object) -> None:
        if not cancelled:
            cancelled.append(store.cancel(seen.id))
        time.sleep(0.05)

    cancelled: list[Job] = []
    stopped = Worker(store, "w", observer=cancel).run_one()
    assert stopped is not None
    assert stopped.state == "cancelled"
    assert stopped.checkpoint is not None
    at = len(store.losses(job.id))
    assert 0 < at < 32
    store.retry(job.id)
    seen: list[int] = []
    again = Worker(store, "w", observer=lambda _, progress: seen.append(progress.scale)).run_one()
    assert again is not None
    assert again.state == "done"
    assert len(seen) < 32  # it resumed and did not restart
    assert read_picture(store, again) == read_picture(store, store.get(reference.id))
    assert not list((store.folder / "checkpoints").iterdir())


@pytest.mark.slow
@pytest.mark.weights
def test_paused_job_with_new_alpha_is_reproduced(store: JobStore, photo: Path, painting: Path, tmp_path: Path) -> None:
    job = submit_job(store, photo, painting, iterations=16)
    preview_versions: list[int] = []

    def pause_and_change(seen: Job, progress: object) -> None:
        if not preview_versions:
            store.pause(seen.id)
            set_job_alpha(store, seen.id, 60.0)
        preview_versions.append(store.previews.version(seen.id))
        time.sleep(0.05)

    paused = Worker(store, "w", observer=pause_and_change).run_one()
    assert paused is not None
    assert (paused.state, paused.paused, paused.alpha_changes) == ("queued", True, [])
    assert paused.checkpoint is not None
    assert paused.scales == [[16, 24, 16], [32, 48, 16]]
    assert preview_versions[0] > 0
    height, width = open_image(store.previews.path(job.id)).size
    assert (height, width) == (16, 24)
    assert Worker(store, "w").run_one() is None
    store.resume(job.id)
    worker = Worker(store, "w", observer=lambda *_: time.sleep(0.05))
    finished = worker.run_one()
    assert finished is not None
    assert finished.state == "done"
    (change,) = finished.alpha_changes
    assert change["alpha"] == 60
    assert finished.alphas == [Config().alpha, 60]
    (tmp_path / "out.png").write_bytes(read_picture(store, finished))
    for file in (photo, painting):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert main(["reproduce", str(tmp_path / "out.png"), "-o", str(tmp_path / "again.png"), "--quiet"]) == 0
    assert (tmp_path / "again.png").read_bytes() == read_picture(store, finished)
    with pytest.raises(ConfigError, match="alpha"):
        set_job_alpha(store, job.id, -1.0)


@pytest.mark.weights
def test_full_disk_loses_checkpoints_but_no_job(
    store: JobStore, photo: Path, painting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[object] = []

    def full(*arguments: object) -> None:
        attempts.append(arguments)
        raise OutputError("No space left on device.")

    monkeypatch.setattr("impasto.run.run.write_checkpoint", full)
    job = submit_job(store, photo, painting, output=str(tmp_path / "gone" / "out.png"))
    failed = Worker(store, "w", checkpoint_interval_s=0).run_one()
    assert failed is not None
    assert failed.state == "failed"
    assert attempts
    assert "out.png" in str(failed.error)
    assert failed.progress == 1  # painted, but the output could not be written
    (tmp_path / "gone").mkdir()
    store.retry(job.id)
    finished = Worker(store, "w", checkpoint_interval_s=0).run_one()
    assert finished is not None
    assert finished.state == "done", finished.error
    assert (tmp_path / "gone" / "out.png").read_bytes() == read_picture(store, finished)


@pytest.mark.weights
def test_step_may_outlast_a_lease(store: JobStore, photo: Path, painting: Path) -> None:
    submit_job(store, photo, painting, iterations=2, scales=1)
    rivals = []

    def slowly(job: Job, progress: object) -> None:
        time.sleep(2.5 * store.lease_s)
        rivals.append(JobStore(store.folder, lease_s=store.lease_s).claim("rival"))

    finished = Worker(store, "w", observer=slowly).run_one()
    assert finished is not None
    assert (finished.state, finished.attempt) == ("done", 1)
    assert rivals == [None, None]


@pytest.mark.weights
def test_damaged_checkpoint_restarts_the_job(store: JobStore, photo: Path, painting: Path) -> None:
    job = submit_job(store, photo, painting)
    worker = Worker(store, "w", observer=lambda job, _: setattr(worker, "stopping", True))
    stopped = worker.run_one()
    assert stopped is not None
    assert stopped.state == "queued"
    assert stopped.checkpoint is not None
    path = store.folder / "checkpoints" / stopped.checkpoint
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    finished = Worker(store, "w").run_one()
    assert finished is not None
    assert (finished.state, finished.id) == ("done", job.id)
    expected = drive(prepare_run(photo, painting, **SMALL, precision="float32"))
    assert finished.result is not None
    assert finished.result["losses"] == expected.losses


@pytest.mark.weights
def test_equal_runs_share_a_key(store: JobStore, photo: Path, painting: Path) -> None:
    keys = [
        submit_job(store, photo, painting, **options).key
        for options in ({}, {}, {"alpha": Config().alpha + 1}, {"seed": 3})
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert submit_job(store, painting, painting).key not in keys


def _worker(folder: str) -> None:
    register()
    store = JobStore(Path(folder), lease_s=1.0)
    worker = Worker(store, str(os.getpid()), checkpoint_interval_s=0.1)
    while not all(job.state in ("done", "failed") for job in store.jobs()):
        if worker.run_one() is None:
            time.sleep(0.1)


def saved_progress(store: JobStore) -> list[tuple[str, str | None]]:
    """Return the progress that a crash must not undo."""
    return [(job.state if job.state == "done" else "", job.checkpoint) for job in store.jobs()]


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.usefixtures("slow_loss")
def test_random_kills_change_no_job_result(store: JobStore, photo: Path, painting: Path) -> None:
    options: dict[str, Any] = {"iterations": 10, "style_loss": NAME}
    jobs = [submit_job(store, photo, painting, **options, seed=seed % 2) for seed in range(3)]
    context, rng = multiprocessing.get_context("spawn"), random.Random(1)
    kills = 0
    set_slow(True)
    deadline = time.monotonic() + 600
    while not all(job.state == "done" for job in store.jobs()):
        assert time.monotonic() < deadline, [(job.state, job.error) for job in store.jobs()]
        before = saved_progress(store)
        process = context.Process(target=_worker, args=(str(store.folder),))
        process.start()
        if kills < 5:
            # Kill after some progress: a job fails when its workers keep crashing without progress.
            while process.is_alive() and saved_progress(store) == before and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(rng.random())
        else:
            process.join(timeout=600)
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGKILL)
            kills += 1
            set_slow(kills < 5)
        process.join()
    done = store.jobs()
    assert [job.id for job in done] == [job.id for job in jobs]
    expected: dict[str, bytes] = {}
    for job in done:  # compare with a direct run that uses the recorded plan
        assert job.plan is not None
        case = json.dumps([job.config["seed"], job.plan])
        if case not in expected:
            run = prepare_run(photo, painting, **SMALL | options, seed=job.config["seed"], precision="float32")
            path = drive(replace(run, recorded_plan=Plan(**job.plan))).save(store.folder / "expected.png")
            expected[case] = path.read_bytes()
        assert read_picture(store, job) == expected[case]
    assert kills >= 2
    assert store.verify() == []
