"""The job queue: claims, leases, crashes, migrations and storage."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from impasto.config import Config, RunOptions
from impasto.errors import OutputError
from impasto.jobs import Claim, Job, JobCommand, JobError, JobStore, LostJobError
from impasto.jobs.leases import LEASE_S, MAX_CRASHES
from impasto.jobs.model import StepLosses, StepsDone
from impasto.jobs.schema import MIGRATIONS, connect

INPUTS = {"content": {"name": "photo.jpg", "sha256": "0" * 64}}


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> JobStore:
    return JobStore(tmp_path / "data", clock=clock)


def add_job(store: JobStore, **options: Any) -> Job:
    return store.add({"alpha": 5.0}, INPUTS, key="k", **options)


def steps_done(progress: float, *totals: tuple[int, float]) -> StepsDone:
    """Build a report of steps, each with its total loss."""
    return StepsDone([StepLosses(step, 1, step, total, 2.0, 0.2) for step, total in totals], progress)


def claim_job(store: JobStore, worker: str = "w") -> Claim:
    claim = store.claim(worker)
    assert claim is not None
    return claim


# ---- One job -------------------------------------------------------------------------------------


def test_job_goes_from_queued_to_done(store: JobStore) -> None:
    job = add_job(store, output="out.png", run={"quality": 90})
    assert (job.state, job.attempt, job.progress) == ("queued", 0, 0)
    assert (job.config, job.run, job.inputs, job.output) == ({"alpha": 5.0}, {"quality": 90}, INPUTS, "out.png")
    claim = claim_job(store)
    assert (claim.job.id, claim.attempt, store.get(job.id).state) == (job.id, 1, "running")
    assert store.claim("other") is None
    store.save_steps(claim, steps_done(0.5, (1, 3.0), (2, 2.0)))
    assert store.get(job.id).progress == 0.5
    assert [row["total"] for row in store.losses(job.id)] == [3.0, 2.0]
    assert [row["step"] for row in store.losses(job.id, after=1)] == [2]
    store.finish(claim, {"sha256": "1" * 64})
    finished = store.get(job.id)
    assert (finished.state, finished.progress, finished.result, finished.worker) == (
        "done",
        1.0,
        {"sha256": "1" * 64},
        None,
    )
    assert store.claim("w") is None


def test_higher_priority_runs_first(store: JobStore) -> None:
    numbers = [add_job(store, priority=priority).id for priority in (0, 5, 0, 5)]
    order = [claim_job(store).job.id for _ in numbers]
    assert order == [numbers[1], numbers[3], numbers[0], numbers[2]]


def test_failed_job_has_a_reason_and_can_be_retried(store: JobStore) -> None:
    job = add_job(store)
    store.fail(claim_job(store), "photo.jpg is no picture")
    assert store.get(job.id).error == "photo.jpg is no picture"
    with pytest.raises(JobError, match="already failed"):
        store.cancel(job.id)
    store.retry(job.id)
    assert claim_job(store).attempt == 2


def test_cancels_at_once_or_at_the_next_step(store: JobStore) -> None:
    waiting, running = add_job(store, priority=0), add_job(store, priority=1)
    claim = claim_job(store)
    assert claim.job.id == running.id
    assert store.cancel(waiting.id).state == "cancelled"
    assert store.renew(claim) == JobCommand()
    assert store.cancel(running.id).state == "running"
    assert store.renew(claim) == JobCommand(cancel=True)
    store.release(claim)
    assert store.get(running.id).state == "cancelled"
    assert store.retry(running.id).command is None


def test_paused_job_waits_until_resumed(store: JobStore, clock: Clock) -> None:
    paused, other = add_job(store, priority=1), add_job(store)
    claim = claim_job(store)
    store.pause(paused.id)
    assert store.renew(claim).pause
    store.release(claim)
    assert (store.get(paused.id).state, store.get(paused.id).paused) == ("queued", True)
    assert claim_job(store).job.id == other.id
    assert store.claim("w") is None
    store.resume(paused.id)
    again = claim_job(store)
    assert (again.job.id, again.attempt) == (paused.id, 2)
    store.pause(paused.id)  # its worker dies before it receives the command
    clock.now += 3 * LEASE_S
    assert claim_job(store).job.id == other.id
    assert (store.get(paused.id).state, store.get(paused.id).crashes) == ("queued", 0)
    store.cancel(paused.id)
    assert not store.get(paused.id).paused
    for command in (store.pause, store.resume):
        with pytest.raises(JobError, match="already cancelled"):
            command(paused.id)


def test_cancelling_while_pausing_is_not_lost(store: JobStore) -> None:
    job = add_job(store)
    claim = claim_job(store)
    store.pause(job.id)
    store.cancel(job.id)
    store.release(claim)
    assert (store.get(job.id).state, store.get(job.id).paused) == ("cancelled", False)


def test_alpha_changes_reach_the_worker_and_are_saved(store: JobStore) -> None:
    job = add_job(store)
    store.set_alpha(job.id, 8.0)
    claim = claim_job(store)
    assert store.renew(claim).alpha == 8
    change = {"scale": 1, "iteration": 3, "alpha": 8.0}
    store.save_alpha_changes(claim, [change])
    assert store.renew(claim).alpha is None
    assert store.get(job.id).alpha_changes == [change]
    with pytest.raises(JobError):
        store.set_alpha(job.id, -1.0)
    store.finish(claim, {})
    with pytest.raises(JobError, match="already done"):
        store.set_alpha(job.id, 2.0)


def test_changes_since_returns_each_change_once(store: JobStore, tmp_path: Path) -> None:
    first, second = add_job(store), add_job(store)
    other = JobStore(store.folder)  # another program
    revision, jobs, remaining_ids = other.changes_since(-1)
    assert ([job.id for job in jobs], remaining_ids) == ([first.id, second.id], {first.id, second.id})
    assert other.changes_since(revision) == (revision, [], None)
    store.cancel(second.id)
    revision, jobs, remaining_ids = other.changes_since(revision)
    assert ([(job.id, job.state) for job in jobs], remaining_ids) == ([(second.id, "cancelled")], None)
    store.remove(second.id)  # the last revision belongs to this job and must not be reused
    third = add_job(store)
    revision, jobs, remaining_ids = other.changes_since(revision)
    assert ([job.id for job in jobs], remaining_ids) == ([third.id], {first.id, third.id})
    assert other.changes_since(revision)[1:] == ([], None)


OLD_COLUMNS = {
    "config": {
        "alpha": 5.0,
        "network": "alexnet",
        "content_layers": "relu3",
        "style_weights": "",
        "tv": "absolute",
        "noise": "white",
        "bounded": False,
        "iterations": 200,
        "scales": 0,
        "detail": 0.5,
        "history": 7,
    },
    "run": {"device": "auto", "precision": "float32", "threads": 0, "memory": 0, "save_every": 0},
    "plan": {
        "device": "cpu",
        "evaluator": "chained",
        "winograd": 0,
        "block": 512,
        "history": 7,
        "scratch": True,
        "threads": 1,
        "torch": "2.13.0",
    },
}


def write_old_queue(folder: Path, version: int) -> None:
    """Build a queue of an earlier version: a finished job, one with a checkpoint and a new one."""
    with sqlite3.connect(folder / "jobs.sqlite") as old:
        for statement in filter(str.strip, ";".join(MIGRATIONS[:version]).split(";")):
            old.execute(statement)
        old.execute(f"PRAGMA user_version = {version}")
        config, run, plan = (json.dumps(OLD_COLUMNS[column]) for column in ("config", "run", "plan"))
        insert = "INSERT INTO jobs (key, state, config, run, inputs, plan, checkpoint, progress, deaths, created_s, "
        insert += "changed_s) VALUES ('k', ?, ?, ?, '{}', ?, ?, ?, 1, 1, 1)"
        old.execute(insert, ("done", config, run, plan, None, 1.0))
        old.execute(insert, ("queued", config, run, plan, "2-1-9.impasto", 0.5))
        old.execute(insert, ("queued", config, run, None, None, 0.0))
        for job in (1, 2):
            old.execute("INSERT INTO losses VALUES (?, 1, 1, 1, 3.0, 2.0, 1.0)", (job,))
        if version == 2:
            old.execute("UPDATE jobs SET held = 1, asked_alpha = 8.0, turns = '[{\"alpha\": 6.0}]' WHERE id = 2")
    old.close()


def test_programs_that_start_at_once_open_a_new_queue(tmp_path: Path) -> None:
    """SQLite itself refuses one call in about 200 here: see `_use_write_ahead_log`."""
    with ThreadPoolExecutor(8) as pool:
        for attempt in range(80):
            folder = tmp_path / str(attempt)
            folder.mkdir()
            start = threading.Barrier(8)

            def open_queue(path: Path = folder / "jobs.sqlite", start: threading.Barrier = start) -> None:
                start.wait(60)
                connect(path).close()

            for opened in [pool.submit(open_queue) for _ in range(8)]:
                opened.result(60)


@pytest.mark.parametrize("version", [1, 2])
def test_migrates_an_older_queue(tmp_path: Path, version: int) -> None:
    write_old_queue(tmp_path, version)
    store = JobStore(tmp_path)
    finished, resumable, new = store.jobs()
    assert (finished.key, finished.state, finished.progress, finished.crashes) == ("k", "done", 1.0, 1)
    assert [row["total"] for row in store.losses(1)] == [3.0]
    # Old checkpoints cannot be read, so the job starts over.
    assert (resumable.checkpoint, resumable.plan, resumable.progress, resumable.crashes) == (None, None, 0, 1)
    assert store.losses(2) == []
    changes = [{"alpha": 6.0}] if version == 2 else []
    assert (resumable.paused, resumable.requested_alpha, resumable.alpha_changes) == (
        version == 2,
        8 if changes else None,
        changes,
    )
    assert (new.paused, new.requested_alpha, new.alpha_changes, new.plan) == (False, None, [], None)
    assert finished.config == {
        "alpha": 5.0,
        "network": "alexnet",
        "content_layers": "relu3",
        "style_weights": None,
        "tv_norm": "absolute",
        "init_noise": "white",
        "clamp": False,
        "iterations": 200,
        "scales": None,
        "detail_transfer": 0.5,
        "lbfgs_history": 7,
    }
    assert finished.run == {"device": None, "precision": "float32", "threads": None, "memory": None, "save_every": None}
    assert finished.plan == {
        "device": "cpu",
        "engine": "manual",
        "winograd_channels": None,
        "tile_px": 512,
        "lbfgs_history": 7,
        "on_disk": True,
        "threads": 1,
        "torch": "2.13.0",
    }
    for job in store.jobs():
        Config(**job.config)
        RunOptions(**job.run)
    assert [job.id for job in store.changes_since(-1).jobs] == [1, 2, 3]
    store.finish(claim_job(store), {})
    assert store.verify() == []


def test_refuses_to_remove_a_running_job(store: JobStore) -> None:
    job = add_job(store)
    claim = claim_job(store)
    store.save_steps(claim, steps_done(0.1, (1, 1.0)))
    with pytest.raises(JobError, match="running"):
        store.remove(job.id)
    store.finish(claim, {})
    checkpoints = [store.checkpoint_folder / f"{number}-1-3.impasto" for number in (job.id, 10 * job.id)]
    for path in checkpoints:
        path.touch()
    store.remove(job.id)
    assert [path.exists() for path in checkpoints] == [False, True]
    assert store.jobs() == []
    assert store.losses(job.id) == []
    for command in (store.get, store.cancel, store.retry, store.remove):
        with pytest.raises(JobError, match="no job"):
            command(job.id)


# ---- Dead workers --------------------------------------------------------------------------------


def test_expired_worker_loses_its_job_and_cannot_write(store: JobStore, clock: Clock) -> None:
    job = add_job(store)
    first = claim_job(store, "first")
    clock.now += LEASE_S - 1
    assert store.claim("second") is None
    store.renew(first)
    clock.now += LEASE_S + 1
    second = claim_job(store, "second")
    assert (second.job.id, second.attempt, second.job.worker) == (job.id, 2, "second")
    writes: tuple[Callable[[], object], ...] = (
        lambda: store.renew(first),
        lambda: store.save_steps(first, steps_done(0.9, (9, 0.0))),
        lambda: store.save_checkpoint(first, "theirs"),
        lambda: store.finish(first, {"stale": True}),
        lambda: store.fail(first, "stale"),
        lambda: store.release(first),
    )
    for write in writes:
        with pytest.raises(LostJobError):
            write()
    assert store.losses(job.id) == []
    store.finish(second, {"fresh": True})
    assert store.get(job.id).result == {"fresh": True}


def test_job_fails_after_crashes_without_progress(store: JobStore, clock: Clock) -> None:
    job = add_job(store)
    for _ in range(MAX_CRASHES):
        claim_job(store)
        clock.now += LEASE_S + 1
    assert store.claim("w") is None
    assert (store.get(job.id).state, "died" in str(store.get(job.id).error)) == ("failed", True)
    store.retry(job.id)
    for number in range(3 * MAX_CRASHES):
        store.save_checkpoint(claim_job(store), f"checkpoint-{number}")
        clock.now += LEASE_S + 1
    assert claim_job(store).job.checkpoint == f"checkpoint-{3 * MAX_CRASHES - 1}"


def test_job_of_a_dead_worker_can_be_cancelled(store: JobStore, clock: Clock) -> None:
    job = add_job(store)
    claim_job(store)
    store.cancel(job.id)
    clock.now += LEASE_S + 1
    assert store.claim("w") is None
    assert store.get(job.id).state == "cancelled"


def test_clock_set_back_expires_leases(store: JobStore, clock: Clock) -> None:
    add_job(store)
    first = claim_job(store)
    clock.now -= 7 * 24 * 3600
    assert store.claim("w") is not None  # a lease that ends next week counts as expired
    with pytest.raises(LostJobError):
        store.renew(first)


# ---- Concurrency ---------------------------------------------------------------------------------


def _claim_and_finish(folder: str, kill_after: int, barrier: Barrier) -> None:
    """Claim and finish jobs until none is left; die during claim number `kill_after`."""
    store = JobStore(Path(folder), lease_s=2.0)
    barrier.wait(300)
    for count in itertools.count(1):
        claim = store.claim(str(os.getpid()))
        if claim is None:
            if all(job.state == "done" for job in store.jobs()):
                return
            time.sleep(0.05)
            continue
        if count == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02)
        store.finish(claim, {"by": os.getpid(), "attempt": claim.attempt})


@pytest.mark.slow
def test_jobs_run_once_despite_killed_processes(tmp_path: Path) -> None:
    store = JobStore(tmp_path, lease_s=2.0)
    jobs = [add_job(store) for _ in range(40)]
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    workers = [
        context.Process(target=_claim_and_finish, args=(str(tmp_path), kill, barrier)) for kill in (3, 5, 10_000)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=300)
    assert sorted(worker.exitcode or 0 for worker in workers) == [-9, -9, 0]
    stored = store.jobs()
    assert [job.id for job in stored] == [job.id for job in jobs]
    assert {job.state for job in stored} == {"done"}
    assert sum(job.attempt - 1 for job in stored) == 2  # only the jobs of the two killed workers ran twice


@pytest.mark.slow
def test_store_can_be_created_concurrently(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=JobStore, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=300)
    assert [process.exitcode for process in processes] == [0] * 3
    assert JobStore(tmp_path).jobs() == []


# ---- Storage -------------------------------------------------------------------------------------


def test_files_are_stored_by_content(store: JobStore, tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"the same")
    names = {store.files.add(tmp_path / name) for name in ("a.jpg", "b.jpg")}
    assert len(names) == 1
    (name,) = names
    assert store.files.path(name).read_bytes() == b"the same"
    for wrong in ("../../etc/passwd", "A" * 64, "", name + "0", "0" * 63 + "/"):
        with pytest.raises(JobError, match="SHA-256"):
            store.files.path(wrong)
    with pytest.raises(JobError, match="cannot be read"):
        store.files.add(tmp_path / "nowhere.jpg")
    (tmp_path / "c.jpg").write_bytes(b"another")
    stale = store.files.add(tmp_path / "c.jpg")
    assert store.files.remove_except([name]) == 1
    assert not store.files.path(stale).exists()


def test_full_disk_leaves_no_partial_file(store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x" * 1000)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OutputError, match="No space left"):
        store.files.add(tmp_path / "a.jpg")
    assert list(store.files.folder.iterdir()) == []


def test_verify_reports_damaged_files(store: JobStore, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a picture")
    name = store.files.add(tmp_path / "a.jpg")
    job = store.add({}, {"content": {"name": "a.jpg", "sha256": name}}, key="k")
    assert store.verify() == []
    store.files.path(name).write_bytes(b"a pictur3")
    assert [f"content of job {job.id}" in line for line in store.verify()] == [True]


@pytest.mark.parametrize("damage", ["no database", "cut", "newer"])
def test_unusable_database_is_reported_and_unchanged(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    if damage == "no database":
        path.write_bytes(b"this is a letter to my aunt " * 100)
    else:
        store = JobStore(tmp_path)
        for _ in range(200):
            add_job(store)
        store.close()
        if damage == "cut":
            path.write_bytes(path.read_bytes()[:5000])
        else:
            with sqlite3.connect(path) as connection:
                connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
            connection.close()
    before = path.read_bytes()
    with pytest.raises(JobError) as caught:
        JobStore(tmp_path).jobs()
    assert "\n" not in str(caught.value)
    assert ("newer Impasto" if damage == "newer" else f"still in {tmp_path / 'files'}") in str(caught.value)
    assert path.read_bytes() == before


def test_invalid_folder_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(JobError, match="data-dir"):
        JobStore(tmp_path / "file")


def test_failed_write_changes_nothing(store: JobStore) -> None:
    job = add_job(store)
    claim = claim_job(store)
    with pytest.raises(JobError):  # the table refuses a progress of 2 after the losses were inserted
        store.save_steps(claim, steps_done(2.0, (1, 1.0)))
    assert store.losses(job.id) == []
    assert store.get(job.id).progress == 0
    store.finish(claim, {})


# ---- State machine -------------------------------------------------------------------------------


class Queue(RuleBasedStateMachine):
    """A model of the store, compared with it after random operations."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.store = JobStore(Path(self.folder.name), clock=self.clock)
        self.states: dict[int, str] = {}
        self.priorities: dict[int, int] = {}
        self.claims: dict[int, tuple[Claim, float]] = {}
        self.stale: list[Claim] = []
        self.expired: dict[int, Claim] = {}
        self.paused: set[int] = set()

    @rule(priority=st.integers(-2, 2))
    def add(self, priority: int) -> None:
        job = add_job(self.store, priority=priority)
        self.states[job.id], self.priorities[job.id] = "queued", priority

    @rule()
    def claim(self) -> None:
        for number, (claim, until) in list(self.claims.items()):
            if until < self.clock.now:
                self.expired[number] = claim  # it may still finish the job until another worker claims it
                del self.claims[number]
        for number in sorted(self.expired):
            job = self.store.get(number)
            if job.command == "cancel":
                self.states[number] = "cancelled"
            elif number in self.paused:
                self.states[number] = "queued"
            elif job.crashes >= MAX_CRASHES - 1:
                self.states[number] = "failed"
            else:
                continue
            self.stale.append(self.expired.pop(number))
        waiting = [
            number
            for number, state in self.states.items()
            if (state == "queued" and number not in self.paused) or number in self.expired
        ]
        claimed = self.store.claim("w")
        if not waiting:
            assert claimed is None
            return
        expected = min(waiting, key=lambda number: (-self.priorities[number], number))
        assert claimed is not None
        assert claimed.job.id == expected
        self.states[expected] = "running"
        if expected in self.expired:
            self.stale.append(self.expired.pop(expected))
        self.claims[expected] = claimed, self.clock.now + LEASE_S

    @rule(seconds=st.floats(0, 2 * LEASE_S))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), action=st.sampled_from(["finish", "fail", "renew", "checkpoint", "steps", "release"]))
    def work(self, data: st.DataObject, action: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.claims)))
        claim, _ = self.claims[number]
        if action in ("finish", "fail", "release"):
            del self.claims[number]
            self.stale.append(claim)
        if action == "finish":
            self.store.finish(claim, {})
            self.states[number] = "done"
        elif action == "fail":
            self.store.fail(claim, "why")
            self.states[number] = "failed"
        elif action == "release":
            self.states[number] = "cancelled" if self.store.get(number).command else "queued"
            self.store.release(claim)
        else:
            if action == "renew":
                self.store.renew(claim)
            elif action == "checkpoint":
                self.store.save_checkpoint(claim, "c")
            else:
                self.store.save_steps(claim, steps_done(0.5, (1, 1.0)))
            self.claims[number] = claim, self.clock.now + LEASE_S

    @precondition(lambda self: self.stale)
    @rule(data=st.data())
    def a_dead_worker_returns(self, data: st.DataObject) -> None:
        with pytest.raises(LostJobError):
            self.store.finish(data.draw(st.sampled_from(self.stale)), {"stale": True})

    @precondition(lambda self: self.states)
    @rule(data=st.data(), action=st.sampled_from(["cancel", "retry", "remove", "pause", "resume"]))
    def control(self, data: st.DataObject, action: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.states)))
        state = self.states[number]
        allowed: dict[str, tuple[str, ...]] = {
            "cancel": ("queued", "running"),
            "retry": ("failed", "cancelled"),
            "remove": ("queued", "done", "failed", "cancelled"),
            "pause": ("queued", "running"),
            "resume": ("queued", "running"),
        }
        if state not in allowed[action]:
            with pytest.raises(JobError):
                getattr(self.store, action)(number)
            return
        getattr(self.store, action)(number)
        if action == "remove":
            del self.states[number], self.priorities[number]
        elif action == "retry":
            self.states[number] = "queued"
        elif action == "pause":
            self.paused.add(number)
        elif action == "resume":
            self.paused.discard(number)
        elif state == "queued":
            self.states[number] = "cancelled"

    @invariant()
    def the_store_matches_the_model(self) -> None:
        if hasattr(self, "store"):
            jobs = self.store.jobs()
            assert {job.id: job.state for job in jobs} == self.states
            self.paused = {number for number in self.paused if self.states.get(number) in ("queued", "running")}
            assert {job.id for job in jobs if job.paused} == self.paused

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_clip_is_cancelled_when_its_last_running_shot_has_stopped(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    clip = store.add({"alpha": 5.0}, {}, key="k", video={}, shots=[range(3), range(3, 6), range(6, 9)]).id
    first, second = store.claim("a"), store.claim("b")
    assert first is not None
    assert second is not None
    store.cancel(clip)
    for claim in (first, second):
        job = store.get(clip)
        assert (job.state, job.command) == ("running", "cancel")
        with pytest.raises(JobError, match="is running"):
            store.remove(clip)
        assert store.renew(claim).cancel
        store.release(claim)
    job = store.get(clip)
    assert (job.state, job.command, job.paused) == ("cancelled", None, False)
    assert store.claim("a") is None
    store.retry(clip)
    assert store.claim("a") is not None
    store.remove(store.add({"alpha": 5.0}, {}, key="k", video={}, shots=[range(3), range(3, 6)]).id)
