"""Leases: a claimed job belongs to its worker until the lease expires without being renewed.

A job is claimed by one atomic statement. Each write of a worker checks the attempt number of its claim, so a worker
that was presumed dead cannot overwrite its successor's work. Leases use wall-clock time, to survive reboots. A lease
too far in the future means that the clock was set back: treat it as expired.
"""

from __future__ import annotations

from impasto.jobs.database import REVISION, Execute
from impasto.jobs.model import Claim, Job, JobCommand, LostJobError
from impasto.jobs.shots import update_clips

__all__ = ["LEASE_S", "MAX_CRASHES", "READY", "claim_next", "require_claim", "times"]

LEASE_S = 30.0
"""Length of a lease. Workers renew it three times as often."""

MAX_CRASHES = 5
"""Workers that may die on one job between two checkpoints, for example from lack of memory."""

EXPIRED = "state = 'running' AND worker IS NOT NULL AND NOT (lease_s BETWEEN :now AND :latest_lease)"
"""SQL condition of a job whose worker has died. A clip has no worker while its shots are painted."""

WAITS = "id IN (SELECT parent FROM jobs WHERE parent IS NOT NULL AND state IN ('queued', 'running'))"
"""SQL condition of a clip with shots to paint."""

READY = f"(state = 'queued' AND NOT paused AND NOT {WAITS}) OR ({EXPIRED})"
"""SQL condition of the jobs that can be claimed; its parameters are those of `times`."""


def times(now: float, lease_s: float) -> dict[str, float]:
    """Return the time now and the latest possible end of a lease, as SQL parameters."""
    return {"now": now, "latest_lease": now + 2 * lease_s}


def claim_next(execute: Execute, worker: str, now: float, lease_s: float) -> Claim | None:
    """Claim the next ready job: highest priority first, then oldest."""
    parameters = times(now, lease_s)
    _end_expired(execute, parameters)
    update_clips(execute, now, lease_s)
    row = execute(
        "UPDATE jobs SET crashes = crashes + (state = 'running'), state = 'running', attempt = attempt + 1, "
        f"worker = :worker, lease_s = :lease_s, changed_s = :now, revision = {REVISION} WHERE id = ("
        f"SELECT id FROM jobs WHERE {READY} ORDER BY priority DESC, id LIMIT 1) RETURNING *",
        {**parameters, "worker": worker, "lease_s": now + lease_s},
    ).fetchone()
    if row is None:
        return None
    if row["parent"] is not None:
        update_clips(execute, now, lease_s)
    return Claim(Job.from_row(row), row["attempt"])


def _end_expired(execute: Execute, parameters: dict[str, float]) -> None:
    """End or requeue expired jobs that are cancelled, paused, or crashed too often."""
    error = f"its worker died {MAX_CRASHES} times in a row without reaching a checkpoint"
    for columns, condition in (
        ("state = 'cancelled', paused = 0", "command = 'cancel'"),
        ("state = 'queued'", "paused"),
        ("state = 'failed', error = :error", "crashes >= :max_crashes - 1"),
    ):
        execute(
            f"UPDATE jobs SET {columns}, worker = NULL, command = NULL, changed_s = :now, revision = {REVISION} "
            f"WHERE {EXPIRED} AND {condition}",
            {**parameters, "error": error, "max_crashes": MAX_CRASHES},
        )


def require_claim(execute: Execute, claim: Claim) -> JobCommand:
    """Return the command for the worker with this claim.

    Raises `LostJobError` if the claim has ended.
    """
    row = execute("SELECT * FROM jobs WHERE id = ?", (claim.job.id,)).fetchone()
    if row is None or row["state"] != "running" or row["attempt"] != claim.attempt:
        raise LostJobError(f"Job {claim.job.id} has ended, or another worker has claimed it.")
    return JobCommand(cancel=row["command"] == "cancel", pause=bool(row["paused"]), alpha=row["requested_alpha"])
