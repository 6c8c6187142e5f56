"""The queue: jobs, the workers that have claimed them, and their results."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from impasto.files import remove_abandoned_folders
from impasto.jobs.claimed import ClaimedJobs
from impasto.jobs.database import REVISION, Execute
from impasto.jobs.files import FileStore
from impasto.jobs.leases import LEASE_S
from impasto.jobs.model import Job, JobError, QueueChanges
from impasto.jobs.previews import Previews
from impasto.jobs.shots import ACTIVE, add_shots, shots_of
from impasto.jobs.table import ENDED, select_job, select_row

__all__ = ["JobStore"]

MIN_UNUSED_AGE_S = 3600.0

CLIPS_AND_PICTURES = "SELECT * FROM jobs WHERE parent IS NULL"


class JobStore(ClaimedJobs):
    """The queue in a folder. Several processes may open it at once.

    `clock` returns seconds since 1970.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time, lease_s: float = LEASE_S) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JobError(f"{folder} cannot be created: {error.strerror}. Choose another --data-dir.") from error
        remove_abandoned_folders(folder)
        super().__init__(folder, clock, lease_s)
        self.folder = folder
        self.files = FileStore(folder / "files")
        self.previews = Previews(folder / "previews")

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    @property
    def checkpoint_folder(self) -> Path:
        """The folder of checkpoints, and of pictures until they are moved to `files`."""
        folder = self.folder / "checkpoints"
        folder.mkdir(exist_ok=True)
        return folder

    def frame_folder(self, clip: int) -> Path:
        """Return the folder of a clip's painted frames."""
        return self.folder / "clips" / str(clip)

    def remove_frames(self, clip: int) -> None:
        """Delete a clip's painted frames."""
        shutil.rmtree(self.frame_folder(clip), ignore_errors=True)

    # ---- For users -----------------------------------------------------------------------------

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
        video: Mapping[str, Any] | None = None,
        shots: Sequence[range] = (),
    ) -> Job:
        """Add a job. `inputs` maps roles to an original name and the `sha256` in `files`.

        `video` are the options of a clip, and `shots` the positions of each shot's frames. With `once`, return the
        latest job of the same key and output instead, if there is one, in any state.
        """
        now = self.clock()
        with self._database.write_transaction() as execute:
            if once:
                query = f"{CLIPS_AND_PICTURES} AND key = ? AND output IS ? ORDER BY id"
                if same := execute(query, (key, output)).fetchall():
                    return Job.from_row(same[-1])
            row = execute(
                "INSERT INTO jobs "
                "(key, priority, config, run, inputs, output, video, frames, created_s, changed_s, revision) "
                f"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, {REVISION}) RETURNING *",
                (
                    key, priority, json.dumps(config), json.dumps(run or {}), json.dumps(inputs), output,
                    json.dumps(video) if video is not None else None,
                    json.dumps([0, sum(map(len, shots))]) if shots else None,
                    now, now,
                ),
            ).fetchone()  # fmt: skip
            add_shots(execute, row["id"], shots)
        return Job.from_row(row)

    def get(self, number: int) -> Job:
        """Return one job. Raises `UnknownJobError`."""
        with self._database.read_transaction() as execute:
            return select_job(execute, number)

    def jobs(self, *, key: str | None = None) -> list[Job]:
        """Return all jobs but those of shots, or those of one key, oldest first."""
        where, values = ("", ()) if key is None else ("AND key = ?", (key,))
        rows = self._database.read(f"{CLIPS_AND_PICTURES} {where} ORDER BY id", values)
        return [Job.from_row(row) for row in rows]

    def count_queued(self) -> int:
        """Return the number of queued jobs."""
        queued = "state = 'queued' AND parent IS NULL"
        return int(self._database.read(f"SELECT count(*) FROM jobs WHERE {queued}")[0][0])

    def count_active(self) -> int:
        """Return the number of queued and running jobs, those of shots too."""
        return int(self._database.read(f"SELECT count(*) FROM jobs WHERE {ACTIVE}")[0][0])

    def is_busy(self) -> bool:
        """Return True if a job is running or waits for a worker."""
        active = "state = 'running' OR (state = 'queued' AND NOT paused)"
        return bool(self._database.read(f"SELECT 1 FROM jobs WHERE {active} LIMIT 1"))

    def losses(self, number: int, *, after: int = 0) -> list[dict[str, float]]:
        """Return a job's losses by step, for the steps after step number `after`."""
        rows = self._database.read("SELECT * FROM losses WHERE job = ? AND step > ? ORDER BY step", (number, after))
        return [{name: value for name, value in dict(row).items() if name != "job"} for row in rows]

    def cancel(self, number: int) -> Job:
        """Cancel a job: at once if it is queued, after its current step if it runs.

        Raises `JobError` if it has ended.
        """
        with self._database.write_transaction() as execute:
            self._require_active(execute, number)
            for row in [*shots_of(execute, number), select_row(execute, number)]:
                if row["state"] == "queued":
                    job = self._update(execute, row["id"], state="cancelled", **ENDED)
                else:
                    job = self._update(execute, row["id"], command="cancel")
            return job

    def retry(self, number: int) -> Job:
        """Return a failed or cancelled job to the queue, with its checkpoint.

        Raises `JobError` for other states.
        """
        with self._database.write_transaction() as execute:
            job = select_job(execute, number)
            if job.state not in ("failed", "cancelled"):
                raise JobError(f"Job {number} is {job.state}. Only failed and cancelled jobs can be retried.")
            again = {"state": "queued", "error": None, "crashes": 0}
            for row in execute("SELECT id FROM jobs WHERE parent = ? AND state != 'done'", (number,)).fetchall():
                self._update(execute, row["id"], **again)
            return self._update(execute, number, **again)

    def pause(self, number: int) -> Job:
        """Keep a job from running until it is resumed. A running job stops after its current step.

        Raises `JobError` if it has ended.
        """
        return self._update_active(number, paused=1)

    def resume(self, number: int) -> Job:
        """Let a paused job continue exactly where it stopped. Raises `JobError` if it has ended."""
        return self._update_active(number, paused=0)

    def set_alpha(self, number: int, alpha: float) -> Job:
        """Change α of a job from its next step on. Raises `JobError` if it has ended."""
        return self._update_active(number, requested_alpha=alpha)

    def remove(self, number: int) -> None:
        """Delete a job. Raises `JobError` while it runs."""
        with self._database.write_transaction() as execute:
            if select_job(execute, number).state == "running":
                raise JobError(f"Job {number} is running. Cancel it first.")
            execute("DELETE FROM jobs WHERE id = ?", (number,))
            execute("UPDATE revisions SET removed = last")
        self.previews.remove(number)
        for path in self.checkpoint_folder.glob(f"{number}-*"):
            path.unlink(missing_ok=True)
        self.remove_frames(number)

    # ---- For observers -------------------------------------------------------------------------

    def revision(self) -> int:
        """Return a number that increases with every change of any job."""
        return int(self._database.read("SELECT last FROM revisions")[0][0])

    def changes_since(self, revision: int) -> QueueChanges:
        """Return the jobs that changed after a revision; -1 for all."""
        with self._database.read_transaction() as execute:
            last, removed = execute("SELECT last, removed FROM revisions").fetchone()
            rows = execute(f"{CLIPS_AND_PICTURES} AND revision > ? ORDER BY id", (revision,)).fetchall()
            remaining = {row["id"] for row in execute(CLIPS_AND_PICTURES)} if removed > revision else None
        return QueueChanges(last, [Job.from_row(row) for row in rows], remaining)

    # ---- Maintenance ---------------------------------------------------------------------------

    def remove_unused_files(self) -> int:
        """Remove files that no job needs and return their number.

        Files added in the last hour stay: their job may not be in the queue yet.
        """
        return self.files.remove_except(self._needed_files(), min_age_s=MIN_UNUSED_AGE_S)

    def verify(self) -> list[str]:
        """Return a line for each defect of the database and the files; change nothing."""
        defects = [str(row[0]) for row in self._database.read("PRAGMA integrity_check") if row[0] != "ok"]
        broken = self._database.read("PRAGMA foreign_key_check")
        defects += [f"row {row[1]} of {row[0]} refers to a job that does not exist" for row in broken]
        needed = self._needed_files()
        return defects + [f"{needed[name]} is missing or damaged: {name}" for name in self.files.find_damaged(needed)]

    def _needed_files(self) -> dict[str, str]:
        """Return the names of all files that jobs need, each with a description."""
        jobs = self.jobs()
        needed = {str(file["sha256"]): f"{role} of job {job.id}" for job in jobs for role, file in job.inputs.items()}
        return needed | {job.result["sha256"]: f"picture of job {job.id}" for job in jobs if job.result}

    # ---- Internals -----------------------------------------------------------------------------

    def _update_active(self, number: int, **columns: Any) -> Job:
        with self._database.write_transaction() as execute:
            self._require_active(execute, number)
            for row in shots_of(execute, number):
                self._update(execute, row["id"], **columns)
            return self._update(execute, number, **columns)

    def _require_active(self, execute: Execute, number: int) -> Job:
        job = select_job(execute, number)
        if job.has_ended:
            raise JobError(f"Job {number} is already {job.state}.")
        return job
