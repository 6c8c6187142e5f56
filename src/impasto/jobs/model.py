"""What a job is, as it stood when it was looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = ["NOTHING", "Claim", "Job", "JobCommand", "State", "Step", "WorkerUpdate"]

State = Literal["queued", "running", "done", "failed", "cancelled"]

Step = tuple[int, int, int, float, float, float]
"""Of the whole run, of which scale, of that scale; then total, content and style."""


@dataclass(frozen=True)
class Job:
    """One run in the queue. Times are seconds since 1970, `elapsed_s` what the run took so far.

    A job that is `held` waits until it is released. `turns` are where α was changed, `scales` the sizes that it goes
    through (height, width, steps), known when it runs. `revision` grows with every change of any job.
    """

    id: int
    key: str
    state: State
    held: bool
    priority: int
    config: dict[str, Any]
    run: dict[str, Any]
    inputs: dict[str, dict[str, str | None]]
    output: str | None
    created_s: float
    changed_s: float
    attempt: int
    deaths: int
    worker: str | None
    asked: Literal["cancel"] | None
    asked_alpha: float | None
    turns: list[dict[str, Any]]
    plan: dict[str, Any] | None
    checkpoint: str | None
    progress: float
    scales: list[list[int]] | None
    elapsed_s: float
    result: dict[str, Any] | None
    error: str | None
    revision: int


@dataclass(frozen=True)
class Claim:
    """A job that is ours, by this attempt, until somebody else claims it."""

    job: Job
    attempt: int


@dataclass(frozen=True)
class JobCommand:
    """What is asked of whoever paints a job: to leave it, or to go on with another α."""

    cancel: bool
    hold: bool
    alpha: float | None


NOTHING = JobCommand(cancel=False, hold=False, alpha=None)


@dataclass(frozen=True)
class WorkerUpdate:
    """What became of a job since the report before: its plan first, then steps, and in the end a picture.

    `checkpoint` and `picture` are files that were written, `turns` all turns so far if there is a new one. With `left`
    it goes on another time; with `error` it cannot be done.
    """

    plan: dict[str, Any] | None = None
    steps: list[Step] = field(default_factory=list)
    share: float = 0.0
    scales: list[list[int]] = field(default_factory=list)
    elapsed_s: float = 0.0
    turns: list[dict[str, Any]] | None = None
    checkpoint: Path | None = None
    picture: Path | None = None
    result: dict[str, Any] | None = None
    left: bool = False
    error: str | None = None
