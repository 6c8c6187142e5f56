"""The `impasto jobs` commands."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from builders.processes import Program
from builders.systems import LINUX_ONLY
from builders.waiting import wait_until

from impasto.cli import main
from impasto.jobs import JobStore

SMALL = ["--size", "64", "--iterations", "3", "--precision", "float32"]


@pytest.fixture(autouse=True)
def _enter_folder(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    monkeypatch.setenv("IMPASTO_DATA", str(desk / "queue"))


def run_jobs(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["jobs", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.weights
def test_job_is_added_painted_and_shown(
    capsys: pytest.CaptureFixture[str], desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    job = run_jobs(capsys, "add", "photo.jpg", "painting.png", "sample:ink", "-o", "out.png", *SMALL)
    assert (job["id"], job["state"], job["inputs"]["style_2"]["name"]) == (1, "queued", "sample:ink")
    (desk / "photo.jpg").rename(desk / "moved.jpg")  # the queue has its own copy
    assert main(["jobs", "worker", "--drain", "--quiet"]) == 0
    (listed,) = run_jobs(capsys, "list")
    assert {"id", "state", "progress", "config", "output", "error"} <= set(listed)
    assert (listed["state"], listed["progress"], listed["error"]) == ("done", 1.0, None)
    assert listed["output"] == str(desk / "out.png")
    assert run_jobs(capsys, "show", "1")["result"]["losses"]["total"] > 0
    # The recipe names the sample, so it can be drawn again.
    (desk / "moved.jpg").rename(desk / "photo.jpg")
    assert main(["reproduce", "out.png", "-o", "again.png", "--quiet"]) == 0
    assert (desk / "again.png").read_bytes() == (desk / "out.png").read_bytes()
    capsys.readouterr()
    assert main(["jobs", "list"]) == 0
    assert "photo.jpg" in capsys.readouterr().out
    assert main(["jobs", "show", "1"]) == 0
    lines = dict(re.split(r" {2,}", line.strip()) for line in capsys.readouterr().out.splitlines())
    assert (lines["state"], lines["style 2"]) == ("done", "sample:ink")
    assert lines["options"] == "size 64, iterations 3"  # only changed options
    assert main(["jobs", "verify"]) == 0
    assert main(["jobs", "rm", "1"]) == 0
    capsys.readouterr()
    assert run_jobs(capsys, "list") == []


@pytest.mark.weights
def test_jobs_are_cancelled_and_retried(capsys: pytest.CaptureFixture[str]) -> None:
    run_jobs(capsys, "add", "photo.jpg", "painting.png", *SMALL)
    assert main(["jobs", "cancel", "1"]) == 0
    assert main(["jobs", "worker", "--drain", "--quiet"]) == 0
    capsys.readouterr()
    assert run_jobs(capsys, "show", "1")["state"] == "cancelled"
    assert main(["jobs", "retry", "1"]) == 0
    assert main(["jobs", "worker", "--drain", "--quiet"]) == 0
    capsys.readouterr()
    assert run_jobs(capsys, "show", "1")["state"] == "done"


@pytest.mark.weights
def test_stopped_worker_releases_its_job(capsys: pytest.CaptureFixture[str], desk: Path) -> None:
    run_jobs(capsys, "add", "photo.jpg", "painting.png", "--size", "64", "--iterations", "5000", "--scales", "1")
    with Program([sys.executable, "-m", "impasto", "jobs", "worker"], stderr=subprocess.PIPE, text=True) as process:
        store = JobStore(desk / "queue")
        wait_until(lambda: store.losses(1))
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=300) == 0
    job = store.get(1)
    assert (job.state, job.worker) == ("queued", None)
    assert job.checkpoint is not None
    assert (desk / "queue" / "checkpoints" / job.checkpoint).exists()


def test_verify_finds_a_damaged_file(capsys: pytest.CaptureFixture[str], desk: Path) -> None:
    job = run_jobs(capsys, "add", "photo.jpg", "painting.png")
    (desk / "queue" / "files" / job["inputs"]["style"]["sha256"]).write_bytes(b"gone")
    assert main(["jobs", "verify"]) == 1
    assert "style of job 1" in capsys.readouterr().out


def test_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("IMPASTO_DATA", "~/from-environment")
    assert main(["jobs", "list"]) == 0
    assert main(["jobs", "list", "--data-dir=~/after-equals"]) == 0
    assert main(["jobs", "list", "--data-dir", "~/in-quotes"]) == 0
    assert {"from-environment", "after-equals", "in-quotes"} <= {path.name for path in tmp_path.iterdir()}
    assert not Path("~").exists()


@LINUX_ONLY
def test_missing_home_folder_error_asks_for_a_folder(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HOME", "XDG_DATA_HOME", "IMPASTO_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as for an unknown user id
    assert main(["jobs", "list"]) == 2
    assert "This user has no home folder. Give --data-dir FOLDER" in capsys.readouterr().err
    assert main(["jobs", "list", "--data-dir", str(tmp_path / "queue")]) == 0
