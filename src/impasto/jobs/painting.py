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

from impasto.compose import Atelier, Session
from impasto.compose.checkpoints import read_checkpoint
from impasto.compose.pace import share_done, step_of
from impasto.compose.steering import Helm
from impasto.config import Config, Plan, RunOptions
from impasto.errors import ImpastoError, OutputError, RecipeError
from impasto.jobs.errors import JobError, in_a_line
from impasto.jobs.model import Asked, Job, Report, Step
from impasto.method import Progress
from impasto.recipes import Turn, inputs_of
from impasto.samples.naming import kept
from impasto.store import Store

__all__ = ["KEEP_S", "Painting"]

REPORT_S = 0.5
"""How often it reports: a write of the database costs milliseconds."""

KEEP_S = 30.0
"""How often a checkpoint is kept: what a worker's death costs at most."""


class Painting:
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
        atelier: Atelier,
        folder: Path,
        keep_s: float = KEEP_S,
        watch: Callable[[Progress, Store], None] | None = None,
    ) -> None:
        self.job, self.files, self.checkpoint = job, files, checkpoint
        self.atelier, self.folder, self.keep_s, self.watch = atelier, folder, keep_s, watch
        # The first checkpoint comes at once: from then on a death costs steps, and no job ends by several of them.
        self._kept_s = time.monotonic() if checkpoint is not None else 0.0
        self._session: Session | None = None
        self._steps: Iterator[Progress] = iter(())
        self._at: Progress | None = None

    def go(self, asked: Asked) -> Report:
        """Do what is asked, and go on for a while. The first report is the plan alone; an error is one, not raised."""
        try:
            if self._session is None:
                self._session = self._begin()
                return Report(plan=self._session.plan.model_dump(mode="json"))
            return self._go(self._session, asked)
        except (ImpastoError, OSError, MemoryError, RuntimeError) as error:
            return Report(error=self._told(error))

    def _told(self, error: BaseException) -> str:
        """An error in a line, which knows the weights by the name that they had."""
        kept, name = self.files.get("weights"), self.job.inputs.get("weights", {}).get("name")
        return in_a_line(error).replace(str(kept), name) if kept is not None and name else in_a_line(error)

    def _go(self, session: Session, asked: Asked) -> Report:
        report = Report()
        if self._at is None:
            self._steps = self._stream(session)
        elif asked.cancel or asked.hold:
            return replace(self._keep(report, session, self._at), left=True)
        elif asked.alpha is not None:
            session.helm.turn(self._at, asked.alpha)
            report = replace(report, turns=[turn.model_dump() for turn in session.helm.turns])
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

    def _begin(self) -> Session:
        job = self.job

        def named(role: str) -> Any:
            if role not in self.files or not self.files[role].is_file():
                raise JobError(f"The {role} file of job {job.id} is gone from the queue's files.")
            name = job.inputs[role]["name"]
            return kept(name, self.files[role]) if name else self.files[role]

        session = Session(
            inputs_of(
                {role: named(role) for role in job.inputs if role != "weights"},
                named("weights") if "weights" in job.inputs else None,
            ),
            Config(**job.config),
            RunOptions(**job.run),
            recorded_plan=Plan(**job.plan) if job.plan is not None else None,
            atelier=self.atelier,
            helm=Helm(Turn(**turn) for turn in job.turns),
        )
        session.plan  # noqa: B018 - whether there can be one
        return session

    def _stream(self, session: Session) -> Generator[Progress, None, None]:
        """What is left of a run; a checkpoint that is damaged costs its steps, and not the job."""
        if self.checkpoint is not None:
            with contextlib.suppress(RecipeError):
                return session.steps(read_checkpoint(self.checkpoint))
        return session.steps()

    def _keep(self, report: Report, session: Session, progress: Progress) -> Report:
        """A new file each time, named by attempt and step: what the queue knows of is always whole."""
        path = self.folder / f"{self.job.id}-{self.job.attempt}-{step_of(progress)[0]}.impasto"
        with contextlib.suppress(OutputError, OSError):  # a disk that is full costs a checkpoint, and not the job
            session.keep(progress, path)
            report = replace(report, checkpoint=path)
        self._kept_s = time.monotonic()
        return report

    def _finish(self, report: Report, session: Session, progress: Progress) -> Report:
        job = self.job
        result = session.finish(progress)
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
