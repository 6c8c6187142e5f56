"""A job on its way, wherever it is painted: told what is asked, it paints for half a second and reports.

It knows nothing of the queue. What it reports is entered there by whoever has the claim, in this process or in another
one, on this machine or elsewhere; and what is asked meanwhile comes back with the next call.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from impasto.config import Config, Plan, RunOptions
from impasto.config.roles import build_inputs
from impasto.core.method import Progress
from impasto.core.tensor_store import TensorStore
from impasto.errors import ImpastoError, OutputError, RecipeError, one_line
from impasto.jobs.errors import JobError
from impasto.jobs.model import Job, JobCommand, Step, WorkerUpdate
from impasto.run import Run, iterate
from impasto.run.alpha_schedule import AlphaSchedule
from impasto.run.checkpoint import read_checkpoint
from impasto.run.model_cache import ModelCache
from impasto.run.pace import share_done, step_of
from impasto.run.recipe import AlphaChange
from impasto.samples.sources import restore_picture

__all__ = ["KEEP_S", "JobPainter"]

REPORT_S = 0.5
"""How often it reports: a write of the database costs milliseconds."""

KEEP_S = 30.0
"""How often a checkpoint is kept: what a worker's death costs at most."""


class JobPainter:
    """One job. `files` are its pictures and weights by role, `checkpoint` where it goes on from, if it was begun.

    What it writes, checkpoints and the picture, is put into `folder`, and is the receiver's. `watch` is told of every
    step, and may be slow only at the cost of the job.
    """

    def __init__(
        self,
        job: Job,
        files: dict[str, Path],
        checkpoint: Path | None,
        *,
        atelier: ModelCache,
        folder: Path,
        keep_s: float = KEEP_S,
        watch: Callable[[Progress, TensorStore], None] | None = None,
    ) -> None:
        self.job, self.files, self.checkpoint = job, files, checkpoint
        self.atelier, self.folder, self.keep_s, self.watch = atelier, folder, keep_s, watch
        # The first checkpoint comes at once: from then on a death costs steps, and no job ends by several of them.
        self._kept_s = time.monotonic() if checkpoint is not None else 0.0
        self._session: Run | None = None
        self._steps: Iterator[Progress] = iter(())
        self._at: Progress | None = None

    def go(self, asked: JobCommand) -> WorkerUpdate:
        """Do what is asked, and go on for a while. The first report is the plan alone; an error is one, not raised."""
        try:
            if self._session is None:
                self._session = self._begin()
                return WorkerUpdate(plan=self._session.plan.model_dump(mode="json"))
            return self._go(self._session, asked)
        except (ImpastoError, OSError, MemoryError, RuntimeError) as error:
            return WorkerUpdate(error=self._told(error))

    def _told(self, error: BaseException) -> str:
        """An error in a line, which knows the weights by the name that they had."""
        kept, name = self.files.get("weights"), self.job.inputs.get("weights", {}).get("name")
        return one_line(error).replace(str(kept), name) if kept is not None and name else one_line(error)

    def _go(self, session: Run, asked: JobCommand) -> WorkerUpdate:
        report = WorkerUpdate()
        if self._at is None:
            self._steps = self._stream(session)
        elif asked.cancel or asked.hold:
            return replace(self._keep(report, session, self._at), left=True)
        elif asked.alpha is not None:
            session.set_alpha(asked.alpha)
            report = replace(report, turns=[turn.model_dump() for turn in session.schedule.changes])
        began = time.monotonic()
        rows = []
        for progress in self._steps:
            self._at = progress
            rows.append(_row(progress))
            if self.watch is not None:
                self.watch(progress, session.engine.store)
            if progress.is_last or not self._kept_s or time.monotonic() - began >= REPORT_S:
                break
        assert self._at is not None  # a plan has at least one step
        if self._at.is_last:
            report = self._finish(report, session, self._at)
        elif time.monotonic() - self._kept_s >= self.keep_s:
            report = self._keep(report, session, self._at)
        scales = [[scale.height, scale.width, scale.iterations] for scale in self._at.scene.scales]
        return replace(report, steps=rows, share=share_done(self._at), scales=scales, elapsed_s=self._at.elapsed_s)

    def _begin(self) -> Run:
        job = self.job

        def named(role: str) -> Any:
            if role not in self.files or not self.files[role].is_file():
                raise JobError(f"The {role} file of job {job.id} is gone from the queue's files.")
            name = job.inputs[role]["name"]
            return restore_picture(name, self.files[role]) if name else self.files[role]

        session = Run(
            build_inputs(
                {role: named(role) for role in job.inputs if role != "weights"},
                named("weights") if "weights" in job.inputs else None,
            ),
            Config(**job.config),
            RunOptions(**job.run),
            recorded_plan=Plan(**job.plan) if job.plan is not None else None,
            cache=self.atelier,
            schedule=AlphaSchedule(AlphaChange(**turn) for turn in job.turns),
        )
        session.plan  # noqa: B018 - whether there can be one
        return session

    def _stream(self, session: Run) -> Generator[Progress, None, None]:
        """What is left of a run; a checkpoint that is damaged costs its steps, and not the job."""
        if self.checkpoint is not None:
            with contextlib.suppress(RecipeError):
                return iterate(session, checkpoint=read_checkpoint(self.checkpoint))
        return iterate(session)

    def _keep(self, report: WorkerUpdate, session: Run, progress: Progress) -> WorkerUpdate:
        """A new file each time, named by attempt and step: what the queue knows of is always whole."""
        path = self.folder / f"{self.job.id}-{self.job.attempt}-{step_of(progress)[0]}.impasto"
        with contextlib.suppress(OutputError, OSError):  # a disk that is full costs a checkpoint, and not the job
            session.save_checkpoint(path)
            report = replace(report, checkpoint=path)
        self._kept_s = time.monotonic()
        return report

    def _finish(self, report: WorkerUpdate, session: Run, progress: Progress) -> WorkerUpdate:
        job = self.job
        result = session.result()
        suffix = Path(job.output).suffix if job.output else ".png"
        picture = result.save(self.folder / f"{job.id}-{job.attempt}{suffix}")
        told = {
            "suffix": suffix,
            "losses": result.losses,
            "evaluations": result.evaluations,
            "seconds": round(result.seconds, 3),
            "height": result.image.shape[2],
            "width": result.image.shape[3],
        }
        return replace(report, picture=picture, result=told)


def _row(progress: Progress) -> Step:
    losses = progress.losses
    numbers = float(losses.total), float(losses.content), float(losses.style)
    return step_of(progress)[0], progress.scale, progress.iteration, *numbers
