"""The painting of one job, without access to the queue.

A painter yields updates and receives commands in return. The holder of the job's claim saves the updates to the queue.
It may be in the same process, or on another machine.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from impasto.config import Config, Plan, RunOptions
from impasto.config.roles import build_inputs
from impasto.core.method import Progress
from impasto.errors import ImpastoError, OutputError, RecipeError, one_line
from impasto.images import OutputProfile, load_profile
from impasto.jobs.model import Job, JobCommand, JobEnded, JobError, JobUpdate, PlanChosen, StepLosses, StepsDone
from impasto.run import ModelCache, Observer, Run, iterate
from impasto.run.alpha_schedule import AlphaSchedule
from impasto.run.checkpoint import read_checkpoint
from impasto.run.recipe import AlphaChange
from impasto.samples.sources import restore_picture

__all__ = ["CHECKPOINT_INTERVAL_S", "JobPainter"]

UPDATE_INTERVAL_S = 0.5
"""Minimum interval between updates. Saving one to the queue takes milliseconds."""

CHECKPOINT_INTERVAL_S = 30.0
"""Interval between checkpoints. A crashed worker loses at most this much work."""


class JobPainter:
    """Paints one job.

    `files` maps roles to the job's pictures and weights. `checkpoint` is a file to resume from. Checkpoints and the
    picture are written to `folder`, and the frames of a clip to `frames`; the receiver of an update owns the files
    named in it. `observers` are called after every step.
    """

    def __init__(
        self,
        job: Job,
        files: Mapping[str, Path],
        checkpoint: Path | None,
        *,
        cache: ModelCache,
        folder: Path,
        frames: Path,
        checkpoint_interval_s: float = CHECKPOINT_INTERVAL_S,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.job, self.files, self.checkpoint = job, files, checkpoint
        self.cache, self.folder, self.frames, self.observers = cache, folder, frames, observers
        self.checkpoint_interval_s = checkpoint_interval_s
        # Write the first checkpoint at once, so that repeated crashes cost steps but never the job.
        self._checkpoint_s = time.monotonic() if checkpoint is not None else float("-inf")

    def updates(self) -> Generator[JobUpdate, JobCommand, None]:
        """Paint the job.

        Yield the plan, then steps, then the end; each update is answered by a command.
        """
        try:
            yield from self._paint_job()
        except (ImpastoError, OSError, MemoryError, RuntimeError) as error:
            yield JobEnded(error=self._describe(error))

    def _paint_job(self) -> Generator[JobUpdate, JobCommand, None]:
        run = self._prepare_run()
        yield PlanChosen(run.plan.model_dump(mode="json"))
        steps: list[StepLosses] = []
        changes: list[dict[str, Any]] | None = None
        last_update_s = time.monotonic()
        for progress in self._steps(run):
            steps.append(_losses_of(progress))
            now_s = time.monotonic()
            checkpoint_due = now_s - self._checkpoint_s >= self.checkpoint_interval_s and not progress.is_last
            if not (progress.is_last or checkpoint_due or now_s - last_update_s >= UPDATE_INTERVAL_S):
                continue
            checkpoint = self._save_checkpoint(run, progress) if checkpoint_due else None
            command = yield _steps_done(progress, steps, checkpoint, changes)
            steps, changes, last_update_s = [], None, time.monotonic()
            if progress.is_last:
                yield self._finish(run)
            elif command.cancel or command.pause:
                yield _steps_done(progress, [], self._save_checkpoint(run, progress), None)
                yield JobEnded()
                return
            elif command.alpha is not None:
                run.set_alpha(command.alpha)
                changes = [change.model_dump() for change in run.schedule.changes]

    def _prepare_run(self) -> Run:
        job = self.job
        run = Run(
            build_inputs(
                {role: self._input(role) for role in job.inputs if role not in ("weights", "profile")},
                self._input("weights") if "weights" in job.inputs else None,
            ),
            Config(**job.config),
            RunOptions(**job.run),
            recorded_plan=Plan(**job.plan) if job.plan is not None else None,
            cache=self.cache,
            recorded_profile=self._profile(),
            schedule=AlphaSchedule(AlphaChange(**change) for change in job.alpha_changes),
        )
        run.plan  # noqa: B018 - raises if the run cannot be planned
        return run

    def _input(self, role: str) -> Any:
        """Return an input file under its original name. Raises `JobError` if the file is missing."""
        path, name = self._file(role), self.job.inputs[role]["name"]
        return restore_picture(name, path) if name else path

    def _profile(self) -> OutputProfile | None:
        """Return the color profile that was stored with the job."""
        if "profile" not in self.job.inputs:
            return None
        return load_profile(self._file("profile"), name=str(self.job.inputs["profile"]["name"]))

    def _file(self, role: str) -> Path:
        if role not in self.files or not self.files[role].is_file():
            raise JobError(f"The {role} file of job {self.job.id} is missing from the queue. Add the job again.")
        return self.files[role]

    def _steps(self, run: Run) -> Iterator[Progress]:
        """Resume from the checkpoint. If it is damaged, start over rather than fail the job."""
        if self.checkpoint is not None:
            with contextlib.suppress(RecipeError):
                return iterate(run, self.observers, checkpoint=read_checkpoint(self.checkpoint))
        return iterate(run, self.observers)

    def _save_checkpoint(self, run: Run, progress: Progress) -> Path | None:
        """Write a checkpoint to a new file. A full disk costs the checkpoint, not the job."""
        # The name has attempt and step: a checkpoint that the queue refers to is never overwritten.
        path = self.folder / f"{self.job.id}-{self.job.attempt}-{progress.step}.impasto"
        try:
            run.save_checkpoint(path)
        except (OutputError, OSError):
            return None
        finally:
            self._checkpoint_s = time.monotonic()
        return path

    def _finish(self, run: Run) -> JobEnded:
        job = self.job
        result = run.result()
        suffix = Path(job.output).suffix if job.output else ".tif" if run.profile.space == "cmyk" else ".png"
        # Highlights of an OpenEXR are 8-bit levels apart by whole stops: a download as EXR restores them from 16.
        bits = 16 if not job.output and result.peak > 1 else None
        picture = result.save(self.folder / f"{job.id}-{job.attempt}{suffix}", bits=bits)
        summary = {
            "suffix": suffix,
            "losses": result.losses,
            "evaluations": result.evaluations,
            "seconds": round(result.seconds, 3),
            "height": result.image.shape[2],
            "width": result.image.shape[3],
        }
        return JobEnded(picture=picture, result=summary)

    def _describe(self, error: BaseException) -> str:
        """Return an error on one line, with the original name of the weights file."""
        weights, name = self.files.get("weights"), self.job.inputs.get("weights", {}).get("name")
        message = one_line(error)
        return message.replace(str(weights), name) if weights is not None and name else message


def _steps_done(
    progress: Progress,
    steps: Sequence[StepLosses],
    checkpoint: Path | None,
    alpha_changes: Sequence[Mapping[str, Any]] | None,
) -> StepsDone:
    return StepsDone(
        steps=steps,
        progress=progress.fraction,
        scales=[[scale.height, scale.width, scale.iterations] for scale in progress.inputs.scales],
        elapsed_s=progress.elapsed_s,
        checkpoint=checkpoint,
        alpha_changes=alpha_changes,
    )


def _losses_of(progress: Progress) -> StepLosses:
    losses = progress.losses
    numbers = float(losses.total), float(losses.content), float(losses.style)
    return StepLosses(progress.step, progress.scale, progress.iteration, *numbers)
