"""The table of jobs: how users, workers and observers find and change its rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from impasto.jobs.database import REVISION, Database, Execute
from impasto.jobs.model import Job, UnknownJobError
from impasto.jobs.shots import update_clips

__all__ = ["ENDED", "JobTable", "select_job", "select_row"]

ENDED: dict[str, Any] = {"worker": None, "paused": 0, "command": None, "requested_alpha": None}
"""Columns to reset when a job ends."""


class JobTable:
    """The rows of a queue. Every change has a new revision, and those of shots are summed up in their clip."""

    def __init__(self, folder: Path, clock: Callable[[], float], lease_s: float) -> None:
        self.clock, self.lease_s = clock, lease_s
        self._database = Database(folder)

    def _update(self, execute: Execute, number: int, **columns: Any) -> Job:
        assignments = "".join(f"{name} = ?, " for name in columns)
        statement = f"UPDATE jobs SET {assignments}changed_s = ?, revision = {REVISION} WHERE id = ? RETURNING *"
        row = execute(statement, (*columns.values(), self.clock(), number)).fetchone()
        if row["parent"] is not None:
            update_clips(execute, self.clock(), self.lease_s)
        return Job.from_row(row)


def select_job(execute: Execute, number: int) -> Job:
    """Return a job. Raises `UnknownJobError`."""
    return Job.from_row(select_row(execute, number))


def select_row(execute: Execute, number: int) -> Any:
    """Return the row of a job. Raises `UnknownJobError`."""
    row = execute("SELECT * FROM jobs WHERE id = ?", (number,)).fetchone()
    if row is None:
        raise UnknownJobError(f"There is no job {number}. List the jobs with: impasto jobs list")
    return row
