"""The queue: jobs, who works at them, what came of them.

Laws: a job is claimed by one atomic statement, and whoever has it proves it with every write: the number of the
attempt is in the condition, so that a worker that was thought dead cannot write over its successor. A worker that
does not renew its lease is thought dead. Leases are told by the clock on the wall, because workers may outlive a
reboot; a lease further ahead than any can be is of a clock that was set back, and counts as over.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from impasto.jobs.database import REVISION, Database, Statement
from impasto.jobs.errors import JobError, LostJobError, UnknownJobError
from impasto.jobs.files import Files
from impasto.jobs.model import Claim, Job, JobCommand
from impasto.jobs.previews import Previews

__all__ = ["JobStore"]

LEASE_S = 30.0
"""How long a worker may be silent. It renews three times as often."""

MOST_DEATHS = 5
"""Workers that a job may take with it without getting any further, such as by all the memory there is."""

ENDED: dict[str, Any] = {"worker": None, "held": 0, "asked": None, "asked_alpha": None}
"""What nobody asks any more of a job that has ended."""

SETTLED_S = 3600.0
"""From this age on a file that no job asks for is nobody's."""


class JobStore:
    """The queue in a folder: `jobs.sqlite`, and `files`. Any number of processes may have it open.

    `clock` is the time of day in seconds.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time, lease_s: float = LEASE_S) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JobError(f"{folder} cannot be made: {error.strerror}. Choose another --data-dir.") from error
        self.folder, self.clock, self.lease_s = folder, clock, lease_s
        self.files = Files(folder / "files")
        self.previews = Previews(folder / "previews")
        self._database = Database(folder)

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    # ---- Those who ask -------------------------------------------------------------------------

    def add(
        self,
        config: Mapping[str, Any],
        inputs: Mapping[str, Mapping[str, str | None]],
        *,
        key: str,
        run: Mapping[str, Any] | None = None,
        output: str | None = None,
        priority: int = 0,
        once: bool = False,
    ) -> Job:
        """Put a job into the queue. `inputs` are by role, each the name it had and its `sha256` among the files.

        With `once`, a job of that key and output that is there already is given instead, however it stands.
        """
        now = self.clock()
        with self._database.writing() as write:
            if once:
                alike = write("SELECT * FROM jobs WHERE key = ? AND output IS ? ORDER BY id", (key, output)).fetchall()
                if alike:
                    return _job(alike[-1])
            row = write(
                "INSERT INTO jobs (key, priority, config, run, inputs, output, created_s, changed_s, revision) "
                f"VALUES (?, ?, ?, ?, ?, ?, ?, ?, {REVISION}) RETURNING *",
                (key, priority, json.dumps(config), json.dumps(run or {}), json.dumps(inputs), output, now, now),
            ).fetchone()
        return _job(row)

    def get(self, number: int) -> Job:
        """One job. Raises `JobError` if there is none."""
        return _known(self._database.read("SELECT * FROM jobs WHERE id = ?", (number,)), number)

    def jobs(self, *, key: str | None = None) -> list[Job]:
        """All jobs, or those of a key, oldest first."""
        if key is None:
            return [_job(row) for row in self._database.read("SELECT * FROM jobs ORDER BY id")]
        return [_job(row) for row in self._database.read("SELECT * FROM jobs WHERE key = ? ORDER BY id", (key,))]

    def waiting(self) -> int:
        """How many jobs wait."""
        return int(self._database.read("SELECT count(*) FROM jobs WHERE state = 'queued'")[0][0])

    def losses(self, number: int, *, after: int = 0) -> list[dict[str, float]]:
        """What each step of a job came to, those after a step's number."""
        rows = self._database.read("SELECT * FROM losses WHERE job = ? AND step > ? ORDER BY step", (number, after))
        return [{name: value for name, value in dict(row).items() if name != "job"} for row in rows]

    def cancel(self, number: int) -> Job:
        """End a job: at once if it waits, at its next step if it runs. Raises `JobError` if it has ended."""
        with self._database.writing() as write:
            job = _known(write("SELECT * FROM jobs WHERE id = ?", (number,)).fetchall(), number)
            if job.state == "queued":
                self._set(write, number, state="cancelled", **ENDED)
            elif job.state == "running":
                self._set(write, number, asked="cancel")
            else:
                raise JobError(f"Job {number} is {job.state} already.")
        return self.get(number)

    def retry(self, number: int) -> Job:
        """Put a job that failed or was cancelled back; it goes on from its checkpoint. Raises `JobError`."""
        with self._database.writing() as write:
            job = _known(write("SELECT * FROM jobs WHERE id = ?", (number,)).fetchall(), number)
            if job.state not in ("failed", "cancelled"):
                raise JobError(f"Job {number} is {job.state}; only one that failed or was cancelled can be retried.")
            self._set(write, number, state="queued", error=None, deaths=0)
        return self.get(number)

    def hold(self, number: int) -> Job:
        """Let a job wait, from its next step on if it runs, until it is released. Raises `JobError` if it has ended."""
        return self._going(number, held=1)

    def release(self, number: int) -> Job:
        """Let a job that was held go on, exactly where it was. Raises `JobError` if it has ended."""
        return self._going(number, held=0)

    def ask_alpha(self, number: int, alpha: float) -> Job:
        """Let a job go on with another α from its next step on. Raises `JobError` if it has ended."""
        return self._going(number, asked_alpha=alpha)

    def remove(self, number: int) -> None:
        """Forget a job. Raises `JobError` while it runs."""
        with self._database.writing() as write:
            if _known(write("SELECT * FROM jobs WHERE id = ?", (number,)).fetchall(), number).state == "running":
                raise JobError(f"Job {number} is running. Cancel it first.")
            write("DELETE FROM jobs WHERE id = ?", (number,))
            write("UPDATE revisions SET removed = last")
        self.previews.remove(number)

    # ---- Those who work ------------------------------------------------------------------------

    def claim(self, worker: str) -> Claim | None:
        """Take the next job: of highest priority, then oldest; waiting, or left by a worker that died."""
        now = self.clock()
        over = "state = 'running' AND NOT (lease_s BETWEEN ? AND ?)"
        lease = (now, now + 2 * self.lease_s)
        waits = f"(state = 'queued' AND NOT held) OR ({over})"
        if not self._database.read(f"SELECT 1 FROM jobs WHERE {waits} LIMIT 1", lease):
            return None  # to ask costs no write
        left = f"worker = NULL, asked = NULL, changed_s = ?, revision = {REVISION}"
        with self._database.writing() as write:
            write(
                f"UPDATE jobs SET state = 'cancelled', held = 0, {left} WHERE {over} AND asked = 'cancel'",
                (now, *lease),
            )
            write(f"UPDATE jobs SET state = 'queued', {left} WHERE {over} AND held", (now, *lease))
            write(
                f"UPDATE jobs SET state = 'failed', {left}, error = ? WHERE {over} AND deaths >= ?",
                (now, f"its worker died {MOST_DEATHS} times without getting any further", *lease, MOST_DEATHS - 1),
            )
            row = write(
                "UPDATE jobs SET deaths = deaths + (state = 'running'), state = 'running', attempt = attempt + 1, "
                f"worker = ?, lease_s = ?, changed_s = ?, revision = {REVISION} WHERE id = ("
                f"SELECT id FROM jobs WHERE {waits} ORDER BY priority DESC, id LIMIT 1) RETURNING *",
                (worker, now + self.lease_s, now, *lease),
            ).fetchone()
        return Claim(_job(row), row["attempt"]) if row is not None else None

    def renew(self, claim: Claim) -> JobCommand:
        """Say that the worker lives; what is asked of it meanwhile. Raises `LostJobError`."""
        return self._ours(claim, lease_s=self.clock() + self.lease_s)

    def record(
        self,
        claim: Claim,
        progress: float,
        steps: list[tuple[int, int, int, float, float, float]],
        *,
        scales: Sequence[Sequence[int]] = (),
        elapsed_s: float = 0.0,
    ) -> JobCommand:
        """Write down steps (number, scale, iteration, total, content, style), and renew. Raises `LostJobError`."""
        lease_s = self.clock() + self.lease_s
        told = {"progress": progress, "scales": json.dumps(scales), "elapsed_s": elapsed_s, "lease_s": lease_s}
        with self._database.writing() as write:
            asked = self._require_ours(write, claim)
            self._set(write, claim.job.id, **told)
            for step in steps:
                write("INSERT OR REPLACE INTO losses VALUES (?, ?, ?, ?, ?, ?, ?)", (claim.job.id, *step))
        return asked

    def turned(self, claim: Claim, turns: Sequence[Mapping[str, Any]]) -> None:
        """Write down where α was changed, so that whoever takes it over changes it there. Raises `LostJobError`."""
        self._ours(claim, turns=json.dumps(turns), asked_alpha=None)

    def planned(self, claim: Claim, plan: Mapping[str, Any]) -> None:
        """Write down how it is computed, so that whoever takes it over computes it alike. Raises `LostJobError`."""
        self._ours(claim, plan=json.dumps(plan))

    def keep(self, claim: Claim, checkpoint: str) -> None:
        """Say where the job's checkpoint is: it got further, and no worker died for nothing. Raises `LostJobError`."""
        self._ours(claim, checkpoint=checkpoint, deaths=0, lease_s=self.clock() + self.lease_s)

    def finish(self, claim: Claim, result: Mapping[str, Any]) -> None:
        """The job is done. Raises `LostJobError` if it was taken over: then nothing is written."""
        self._ours(claim, state="done", result=json.dumps(result), progress=1.0, checkpoint=None, **ENDED)

    def fail(self, claim: Claim, error: str) -> None:
        """The job cannot be done. Raises `LostJobError`."""
        self._ours(claim, state="failed", error=error, **ENDED)

    def give_back(self, claim: Claim) -> None:
        """Leave a job where it stands: cancelled if that was asked, else for others. Raises `LostJobError`."""
        with self._database.writing() as write:
            asked = self._require_ours(write, claim)
            if asked.cancel:
                self._set(write, claim.job.id, state="cancelled", **ENDED)
            else:
                self._set(write, claim.job.id, state="queued", worker=None)

    def bury(self, worker: str) -> None:
        """Say that a worker is dead, by whoever saw it die: what it painted need not wait until its lease ends."""
        with self._database.writing() as write:
            for row in write("SELECT id FROM jobs WHERE state = 'running' AND worker = ?", (worker,)).fetchall():
                self._set(write, row["id"], lease_s=0.0)

    # ---- Those who watch -----------------------------------------------------------------------

    def revision(self) -> int:
        """A number that grows with every change of any job."""
        return int(self._database.read("SELECT last FROM revisions")[0][0])

    def changed(self, since: int) -> tuple[int, list[Job], set[int] | None]:
        """The latest revision, jobs that changed after another one, and all that are left if some were removed."""
        with self._database.reading() as ask:
            last, removed = ask("SELECT last, removed FROM revisions").fetchone()
            jobs = [_job(row) for row in ask("SELECT * FROM jobs WHERE revision > ? ORDER BY id", (since,))]
            left = {row["id"] for row in ask("SELECT id FROM jobs")} if removed > since else None
        return last, jobs, left

    # ---- The house -----------------------------------------------------------------------------

    def tidy(self) -> int:
        """Remove files that no job asks for, but for new ones, whose job may not be written yet; how many."""
        wanted = {str(file["sha256"]) for job in self.jobs() for file in job.inputs.values()}
        wanted |= {job.result["sha256"] for job in self.jobs() if job.result}
        return self.files.remove_all_but(wanted, older_s=SETTLED_S)

    def verify(self) -> list[str]:
        """What is wrong with the store, a line each; nothing is changed."""
        told = [str(row[0]) for row in self._database.read("PRAGMA integrity_check") if row[0] != "ok"]
        told += [f"job {row[1]} asks for what is gone" for row in self._database.read("PRAGMA foreign_key_check")]
        wanted = {
            str(file["sha256"]): f"{role} of job {job.id}" for job in self.jobs() for role, file in job.inputs.items()
        }
        wanted |= {job.result["sha256"]: f"picture of job {job.id}" for job in self.jobs() if job.result}
        return told + [f"{wanted[name]} is missing or damaged: {name}" for name in self.files.damaged(wanted)]

    def _going(self, number: int, **values: Any) -> Job:
        """Change what is asked of a job that has not ended."""
        with self._database.writing() as write:
            job = _known(write("SELECT * FROM jobs WHERE id = ?", (number,)).fetchall(), number)
            if job.state not in ("queued", "running"):
                raise JobError(f"Job {number} is {job.state} already.")
            self._set(write, number, **values)
        return self.get(number)

    def _ours(self, claim: Claim, **values: Any) -> JobCommand:
        with self._database.writing() as write:
            asked = self._require_ours(write, claim)
            self._set(write, claim.job.id, **values)
        return asked

    def _require_ours(self, write: Statement, claim: Claim) -> JobCommand:
        """Raise `LostJobError` unless it is; what is asked of whoever has it."""
        row = write("SELECT * FROM jobs WHERE id = ?", (claim.job.id,)).fetchone()
        if row is None or row["state"] != "running" or row["attempt"] != claim.attempt:
            raise LostJobError(f"Job {claim.job.id} is not ours any more: another worker has it, or it has ended.")
        return JobCommand(row["asked"] == "cancel", bool(row["held"]), row["asked_alpha"])

    def _set(self, write: Statement, number: int, **values: Any) -> None:
        columns = "".join(f"{name} = ?, " for name in values)
        write(
            f"UPDATE jobs SET {columns}changed_s = ?, revision = {REVISION} WHERE id = ?",
            (*values.values(), self.clock(), number),
        )


def _known(rows: list[sqlite3.Row], number: int) -> Job:
    if not rows:
        raise UnknownJobError(f"There is no job {number}. See: impasto jobs list")
    return _job(rows[0])


def _job(row: sqlite3.Row) -> Job:
    values = {name: value for name, value in dict(row).items() if name != "lease_s"}
    for name in ("config", "run", "inputs", "turns", "plan", "scales", "result"):
        values[name] = json.loads(values[name]) if values[name] is not None else None
    return Job(**(values | {"held": bool(row["held"])}))
