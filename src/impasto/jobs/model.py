"""Data types of the queue: jobs, claims, commands to a worker, updates from it, and errors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from impasto.errors import ImpastoError

__all__ = [
    "BrokenQueueError",
    "Claim",
    "FramesDone",
    "Job",
    "JobCommand",
    "JobEnded",
    "JobError",
    "JobState",
    "JobUpdate",
    "LostJobError",
    "PlanChosen",
    "QueueChanges",
    "StepLosses",
    "StepsDone",
    "UnknownJobError",
]

JSON_COLUMNS = (
    "config", "run", "inputs", "alpha_changes", "plan", "scales", "result", "video", "shot", "frames",
)  # fmt: skip

JobState = Literal["queued", "running", "done", "failed", "cancelled"]


class JobError(ImpastoError):
    """A request that the queue or one of its jobs cannot fulfill."""


class LostJobError(JobError):
    """A write by a worker that no longer has the job."""


class UnknownJobError(JobError):
    """A job number that is not in the queue."""


class BrokenQueueError(JobError):
    """A database that cannot be read or written: locked, full or damaged."""


class StepLosses(NamedTuple):
    """Losses after one step. `step` counts through all scales; all counts start at 1."""

    step: int
    scale: int
    iteration: int
    total: float
    content: float
    style: float


@dataclass(frozen=True)
class Job:
    """A snapshot of one job in the queue.

    Times are seconds since 1970; `elapsed_s` is the time that passed while it was painted, by one worker or several. A
    `paused` job stays queued until it is resumed. `attempt` counts claims, `crashes` counts workers that died since the
    last checkpoint. `command` and `requested_alpha` have not reached the worker yet. `scales` lists (height, width,
    steps), once a worker knows them. `revision` is the queue's revision at the last change.

    A job with options of `video` paints a clip. A job with a `parent` paints one `shot` of that clip: the positions of
    its frames, and the one after them. A clip that has such jobs starts when all of them have ended. `frames` are the
    number of frames that are done, and of all.
    """

    id: int
    key: str
    state: JobState
    paused: bool
    priority: int
    config: dict[str, Any]
    run: dict[str, Any]
    inputs: dict[str, dict[str, str | None]]
    output: str | None
    created_s: float
    changed_s: float
    attempt: int
    crashes: int
    worker: str | None
    command: Literal["cancel"] | None
    requested_alpha: float | None
    alpha_changes: list[dict[str, Any]]
    plan: dict[str, Any] | None
    checkpoint: str | None
    progress: float
    scales: list[list[int]] | None
    elapsed_s: float
    result: dict[str, Any] | None
    error: str | None
    revision: int
    video: dict[str, Any] | None
    parent: int | None
    shot: list[int] | None
    frames: list[int] | None

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Return the job in a row of the database."""
        values = {name: value for name, value in dict(row).items() if name != "lease_s"}
        for name in JSON_COLUMNS:
            values[name] = json.loads(values[name]) if values[name] is not None else None
        return cls(**(values | {"paused": bool(row["paused"])}))

    @property
    def alphas(self) -> list[float]:
        """All values of α so far, in order."""
        return [self.config["alpha"], *(change["alpha"] for change in self.alpha_changes)]

    @property
    def has_ended(self) -> bool:
        """True for a job that is done, failed or cancelled."""
        return self.state not in ("queued", "running")

    @property
    def clip(self) -> int:
        """The number of the clip's job for a shot; its own number for any other job."""
        return self.id if self.parent is None else self.parent


class QueueChanges(NamedTuple):
    """Jobs that changed since a revision, and all remaining job numbers if any job was removed."""

    revision: int
    jobs: list[Job]
    remaining: set[int] | None


@dataclass(frozen=True)
class Claim:
    """One worker's right to a job. It ends when another worker claims the job."""

    job: Job
    attempt: int


@dataclass(frozen=True)
class JobCommand:
    """A command to the worker of a job. The default is to continue unchanged."""

    cancel: bool = False
    pause: bool = False
    alpha: float | None = None


@dataclass(frozen=True)
class PlanChosen:
    """A worker's first update: the plan of the run."""

    plan: Mapping[str, Any]


@dataclass(frozen=True)
class StepsDone:
    """A worker's update after some steps.

    `progress` is the share of the work done, in [0, 1]. `checkpoint` is a file that was just written.
    `alpha_changes` are all changes so far, if there is a new one.
    """

    steps: Sequence[StepLosses]
    progress: float
    scales: Sequence[Sequence[int]] = ()
    elapsed_s: float = 0.0
    checkpoint: Path | None = None
    alpha_changes: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class FramesDone:
    """A worker's update on a clip: the number of frames that are done and of all, and the files of new ones."""

    frames: tuple[int, int]
    elapsed_s: float = 0.0
    files: Sequence[Path] = ()


@dataclass(frozen=True)
class JobEnded:
    """A worker's last update: a result, an error, or neither if the job stopped on command.

    `picture` is the file of a finished picture or clip, or of the frames before an error; a shot has none.
    """

    picture: Path | None = None
    result: Mapping[str, Any] | None = None
    error: str | None = None


JobUpdate = PlanChosen | StepsDone | FramesDone | JobEnded
