"""Progress of a clip: bars for its frames and for the steps of the current one, plain lines elsewhere."""

from __future__ import annotations

import statistics

from impasto.cli.console import console, format_duration
from impasto.cli.progress import ProgressView, format_clock, format_losses
from impasto.clips.chain import FrameDone
from impasto.clips.clip_run import ClipRun
from impasto.core.method import Progress
from impasto.run import Run

__all__ = ["ClipProgress"]

RECENT = 8
"""Frames that the time left is estimated from."""


class ClipProgress(ProgressView):
    """A view of a clip that is being painted."""

    def __init__(self, clip: ClipRun, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self.clip = clip
        self.count, self.done, self.shot = len(clip.selection.frames), 0, 1
        self.seconds: list[float] = []

    def announce(self) -> None:
        """Print how many frames there are, and an estimate of the time."""
        if not self._quiet:
            console.print(f"{self.count} frames, about {format_duration(self.clip.estimate_seconds())}")

    def on_step(self, run: Run, progress: Progress) -> None:
        """Show one step of a frame."""
        scale = progress.size
        self._update("frames", "frames", self.done, self.count, self._rate_of_frames())
        detail = f"{scale.width}x{scale.height}  {format_losses(progress)}"
        self._update("steps", "steps", progress.step, progress.planned_steps, detail)

    def on_frame(self, done: FrameDone) -> None:
        """Show a frame that is painted."""
        self.done = max(self.done, done.number)
        if done.iterations:
            self.seconds.append(done.seconds)
        began_shot, self.shot = done.shot != self.shot, done.shot
        self._update("frames", "frames", self.done, self.count, self._rate_of_frames())
        self._print_line(
            lambda: f"frame {self.done}/{self.count}  {self._rate_of_frames()}",
            now=self.done == self.count or began_shot,
        )

    def _rate_of_frames(self) -> str:
        if not self.seconds:
            return "the first frame takes longest"
        each = statistics.median(self.seconds[-RECENT:])
        return f"shot {self.shot}  {each:.1f} s a frame  {format_clock(each * (self.count - self.done))} left"
