"""The painting of a clip, or of one of its shots, as a job: see `painter`."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from impasto.clips.api import build_clip
from impasto.clips.chain import FrameDone
from impasto.clips.clip_run import ClipRun
from impasto.clips.frame_folder import FrameFolder
from impasto.clips.kinds import CLIP_ROLES, CLIP_SUFFIX
from impasto.clips.packed import is_packed, unpack_frames
from impasto.config import Config, Plan, RunOptions
from impasto.config.roles import build_inputs, kind_of
from impasto.config.video import VideoOptions
from impasto.errors import FrameError, ImpastoError, OutputError
from impasto.files import ScratchFolder
from impasto.jobs.model import FramesDone, Job, JobCommand, JobEnded, JobUpdate, PlanChosen
from impasto.jobs.painter import UPDATE_INTERVAL_S, JobPainter

__all__ = ["ClipPainter", "make_painter"]

MAX_NAME_BYTES = 200
"""Most systems take names of up to 255 bytes."""


def make_painter(job: Job, *arguments: Any, **options: Any) -> JobPainter:
    """Return the painter of a job: see `JobPainter`."""
    return (JobPainter if job.video is None else ClipPainter)(job, *arguments, **options)


class ClipPainter(JobPainter):
    """Paints a clip into a folder of frames, and writes it; or paints only one shot.

    The frames are its checkpoint. It stops between two steps, which costs those of one frame.
    """

    def _paint_job(self) -> Generator[JobUpdate, JobCommand, None]:
        self._links: list[Path] = []
        with ScratchFolder(self.folder) as links:
            run = self._prepare_clip(links)
            run.require_room()
            yield PlanChosen(run.first.plan.model_dump(mode="json"))
            yield from self._paint_frames(run)

    def _paint_frames(self, run: ClipRun) -> Generator[JobUpdate, JobCommand, None]:
        known = set(run.folder.names)
        began_s = updated_s = time.monotonic()
        error: ImpastoError | None = None
        try:
            with contextlib.closing(run.steps(self.observers)) as steps:
                for done in steps:
                    is_new = isinstance(done, FrameDone) and done.name not in known
                    if not is_new and time.monotonic() - updated_s < UPDATE_INTERVAL_S:
                        continue
                    files = [run.folder.file(done.name)] if is_new and isinstance(done, FrameDone) else []
                    command = yield FramesDone(self._count(run), self._elapsed(began_s), files)
                    updated_s = time.monotonic()
                    if command.cancel or command.pause:
                        yield JobEnded()
                        return
        except (FrameError, OutputError) as failure:
            error = failure
        yield self._end(run, self._elapsed(began_s), error)

    def _prepare_clip(self, links: Path) -> ClipRun:
        job = self.job
        self.frames.mkdir(parents=True, exist_ok=True)
        inputs = build_inputs(
            {role: self._file_by_name(role, links) for role in job.inputs if role not in ("weights", "profile")},
            self._input("weights") if "weights" in job.inputs else None,
        )
        given = {name: getattr(inputs, name) for name in ("style_masks", "content_masks", "protect", "weights")}
        return build_clip(
            inputs.content,
            inputs.styles,
            VideoOptions(**(job.video or {})),
            FrameFolder(self.frames),
            config=Config(**job.config),
            cache=self.cache,
            recorded_plan=Plan(**job.plan) if job.plan is not None else None,
            part=range(*job.shot) if job.shot is not None else None,
            **{name: value for name, value in given.items() if value},
            **RunOptions(**job.run).model_dump(),
        )

    def _file_by_name(self, role: str, links: Path) -> Any:
        """Return an input file, that of a clip under its original name in a folder: its suffix says that it is one.

        Numbered frames are unpacked.
        """
        source, name = self._file(role), self.job.inputs[role]["name"]
        if kind_of(role) not in CLIP_ROLES or not name:
            return self._input(role)
        short = Path(name).name.encode()[-MAX_NAME_BYTES:].decode(errors="ignore")
        path = links / role / short
        self._links.append(path)
        path.parent.mkdir()
        if is_packed(source):
            path.mkdir()
            unpack_frames(source, path)
            return path
        try:
            path.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, path)
        return path

    def _describe(self, error: BaseException) -> str:
        """Return an error on one line, with the original names of files."""
        message = super()._describe(error)
        for path in self._links:
            message = message.replace(str(path), path.name)
        return message

    def _count(self, run: ClipRun) -> tuple[int, int]:
        numbers = run.numbers
        return sum(run.folder.file(f"{number:06}").exists() for number in numbers), len(numbers)

    def _elapsed(self, began_s: float) -> float:
        return self.job.elapsed_s + time.monotonic() - began_s

    def _end(self, run: ClipRun, seconds: float, error: ImpastoError | None) -> JobEnded:
        """Write the clip, after an error the frames before it. A shot is not written."""
        done, count = self._count(run)
        if self.job.shot is not None:
            return JobEnded(result={"frames": done}) if error is None else JobEnded(error=self._describe(error))
        suffix = Path(self.job.output).suffix if self.job.output else CLIP_SUFFIX
        path = self.folder / f"{self.job.id}-{self.job.attempt}{suffix}"
        written = run.write(path)
        if not written:
            return JobEnded(error=self._describe(error) if error is not None else "There is no frame to write.")
        height, width = run.first.size
        return JobEnded(
            picture=path,
            result={
                "suffix": suffix,
                "frames": written,
                "seconds": round(seconds, 3),
                "duration_s": round(float(run.selection.end - run.selection.start), 3),
                "height": height,
                "width": width,
            },
            error=None if error is None else f"{self._describe(error)} {written} of {count} frames are done.",
        )
