"""Jobs that workers have claimed: their steps, frames, checkpoints and results, under leases."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from impasto.jobs.leases import READY, claim_next, require_claim, times
from impasto.jobs.model import Claim, FramesDone, JobCommand, StepsDone
from impasto.jobs.shots import shots_of
from impasto.jobs.table import ENDED, JobTable, select_row

__all__ = ["ClaimedJobs"]


class ClaimedJobs(JobTable):
    """The part of a queue that workers use."""

    def claim(self, worker: str) -> Claim | None:
        """Claim the next job: highest priority first, then oldest. Return None if there is none.

        Jobs whose lease has expired are included.
        """
        now = self.clock()
        if not self._database.read(f"SELECT 1 FROM jobs WHERE {READY} LIMIT 1", times(now, self.lease_s)):
            return None  # without a write
        with self._database.write_transaction() as execute:
            return claim_next(execute, worker, now, self.lease_s)

    def renew(self, claim: Claim) -> JobCommand:
        """Renew a lease and return the command for the worker. Raises `LostJobError`."""
        return self._update_claimed(claim, lease_s=self.clock() + self.lease_s)

    def save_plan(self, claim: Claim, plan: Mapping[str, Any]) -> None:
        """Save the plan, so that another worker computes the same picture. Raises `LostJobError`.

        All shots of a clip have one plan.
        """
        with self._database.write_transaction() as execute:
            require_claim(execute, claim)
            numbers = {claim.job.id, claim.job.clip, *(row["id"] for row in shots_of(execute, claim.job.clip))}
            for number in sorted(numbers):
                if select_row(execute, number)["plan"] is None:
                    self._update(execute, number, plan=json.dumps(plan))

    def save_steps(self, claim: Claim, done: StepsDone) -> JobCommand:
        """Save losses and progress, renew the lease, and return the command for the worker.

        Raises `LostJobError`.
        """
        columns = {
            "progress": done.progress,
            "scales": json.dumps(done.scales),
            "elapsed_s": done.elapsed_s,
            "lease_s": self.clock() + self.lease_s,
        }
        with self._database.write_transaction() as execute:
            command = require_claim(execute, claim)
            self._update(execute, claim.job.id, **columns)
            for step in done.steps:
                execute("INSERT OR REPLACE INTO losses VALUES (?, ?, ?, ?, ?, ?, ?)", (claim.job.id, *step))
        return command

    def save_frames(self, claim: Claim, done: FramesDone) -> JobCommand:
        """Save the progress of a clip, renew the lease, and return the command for the worker.

        Raises `LostJobError`.
        """
        columns: dict[str, Any] = {"crashes": 0} if done.files else {}
        return self._update_claimed(
            claim,
            frames=json.dumps(done.frames),
            progress=done.frames[0] / done.frames[1],
            elapsed_s=done.elapsed_s,
            lease_s=self.clock() + self.lease_s,
            **columns,
        )

    def save_alpha_changes(self, claim: Claim, changes: Sequence[Mapping[str, Any]]) -> None:
        """Save all changes of α, so that another worker repeats them. Raises `LostJobError`."""
        self._update_claimed(claim, alpha_changes=json.dumps(changes), requested_alpha=None)

    def save_checkpoint(self, claim: Claim, name: str) -> None:
        """Save a checkpoint's name and reset the count of crashes. Raises `LostJobError`."""
        self._update_claimed(claim, checkpoint=name, crashes=0, lease_s=self.clock() + self.lease_s)

    def finish(self, claim: Claim, result: Mapping[str, Any]) -> None:
        """Mark a job as done. Raises `LostJobError`."""
        self._update_claimed(claim, state="done", result=json.dumps(result), progress=1.0, checkpoint=None, **ENDED)

    def fail(self, claim: Claim, error: str, result: Mapping[str, Any] | None = None) -> None:
        """Mark a job as failed. `result` describes what is done. Raises `LostJobError`."""
        done = json.dumps(result) if result is not None else None
        self._update_claimed(claim, state="failed", error=error, result=done, **ENDED)

    def release(self, claim: Claim) -> None:
        """Return a job to the queue, or cancel it if that was requested. Raises `LostJobError`."""
        with self._database.write_transaction() as execute:
            if require_claim(execute, claim).cancel:
                self._update(execute, claim.job.id, state="cancelled", **ENDED)
            else:
                self._update(execute, claim.job.id, state="queued", worker=None)

    def busy_workers(self) -> set[str]:
        """Return the names of all workers that have claimed a job."""
        rows = self._database.read("SELECT DISTINCT worker FROM jobs WHERE state = 'running' AND worker IS NOT NULL")
        return {str(row["worker"]) for row in rows}

    def expire_worker(self, worker: str) -> None:
        """End the leases of a worker that has died, so that its jobs can be claimed now."""
        with self._database.write_transaction() as execute:
            for row in execute("SELECT id FROM jobs WHERE state = 'running' AND worker = ?", (worker,)).fetchall():
                self._update(execute, row["id"], lease_s=0.0)

    def _update_claimed(self, claim: Claim, **columns: Any) -> JobCommand:
        with self._database.write_transaction() as execute:
            command = require_claim(execute, claim)
            self._update(execute, claim.job.id, **columns)
        return command
