"""Progress of runs, grids and batches: bars on a terminal, plain lines elsewhere. All on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column

from impasto.cli.console import console
from impasto.core.display import describe_losses
from impasto.core.method import Progress
from impasto.insight.run_grid import GridProgress
from impasto.jobs.model import Job
from impasto.run import Run

__all__ = ["ProgressView", "format_clock", "format_losses"]

LINE_INTERVAL_S = 5.0
BAR_PX = 24
LABEL_WIDTH, COUNT_WIDTH = 9, 7


class ProgressView:
    """A view of what is being painted; use it as a context manager. With `quiet` it shows nothing.

    `on_step` is an observer of a run. `show_cell` follows the cells of a grid, and `show_jobs` the jobs of a batch.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bars = _make_bars() if console.is_terminal and not quiet else None
        self._tasks: dict[object, TaskID] = {}
        self._rate = _Rate()
        self._last_line, self._last_line_s = "", time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def on_step(self, run: Run, progress: Progress) -> None:
        """Show one step of a run: a bar for each scale."""
        scale = progress.size
        size, rate = f"{scale.width}x{scale.height}", self._rate.describe(progress)
        self._update(progress.scale, size, progress.iteration, scale.iterations, f"{format_losses(progress)}  {rate}")
        self._print_line(
            lambda: f"{size}  step {progress.iteration}/{scale.iterations}  {format_losses(progress)}  {rate}",
            now=progress.iteration == scale.iterations,
        )

    def show_cell(self, grid: GridProgress) -> None:
        """Show one step of a grid: a bar for the cells, and one for the steps of the current cell."""
        step, planned = grid.progress.step, grid.progress.planned_steps
        self._update("cells", "cells", grid.number - 1, grid.count, grid.cell)
        self._update("steps", "steps", step, planned, format_losses(grid.progress))
        line = f"{grid.number}/{grid.count}  {grid.cell}"
        self._print_line(lambda: line, now=line != self._last_line)

    def show_jobs(self, jobs: Sequence[Job], skipped: int, elapsed_s: float) -> None:
        """Show the jobs of a batch: a bar for all of them, and one for each that is running."""
        ended = sum(job.state not in ("queued", "running") for job in jobs)
        counts = _count_jobs(jobs, skipped, elapsed_s)
        self._update("pictures", "pictures", ended, len(jobs), _shorten(counts[1:], len(jobs)))
        running = {job.id: job for job in jobs if job.state == "running"}
        for key in [key for key in self._tasks if isinstance(key, tuple) and key[1] not in running]:
            if self._bars is not None:
                self._bars.remove_task(self._tasks.pop(key))
        for number, job in running.items():
            names = f"{job.inputs['content']['name']} × {job.inputs['style']['name']}"
            self._update(("job", number), f"job {number}", round(100 * job.progress), 100, names)
        line = "  ".join(counts)
        changed = line != self._last_line and (ended == len(jobs) or not self._last_line)
        self._print_line(lambda: line, now=changed)

    def _update(self, key: object, label: str, completed: int, total: int, detail: str) -> None:
        """Set a bar, adding it at first use."""
        if self._bars is None:
            return
        if key not in self._tasks:
            self._bars.start()  # not before: a download shows a bar of its own
            self._tasks[key] = self._bars.add_task(label, total=total, detail="")
        self._bars.update(self._tasks[key], completed=completed, total=total, detail=detail)

    def _print_line(self, line: Callable[[], str], *, now: bool) -> None:
        """Print a line where there are no bars: at once if `now`, else at intervals."""
        seconds = time.monotonic()
        if self._quiet or self._bars is not None or not (now or seconds - self._last_line_s >= LINE_INTERVAL_S):
            return
        text = line()
        if text != self._last_line:
            self._last_line, self._last_line_s = text, seconds
            console.print(text)


class _Rate:
    """Steps per second at the current scale, and the time left: work is steps times pixels."""

    def __init__(self) -> None:
        self.scale = 0
        self.scale_began_s = self.last_s = 0.0

    def describe(self, progress: Progress) -> str:
        if progress.scale != self.scale:
            self.scale, self.scale_began_s = progress.scale, self.last_s
        self.last_s = progress.elapsed_s
        here_s = progress.elapsed_s - self.scale_began_s
        if progress.iteration == progress.size.iterations:
            return f"in {format_clock(here_s)}"
        left_s = progress.elapsed_s * (1 / progress.fraction - 1)
        return f"{progress.iteration / max(here_s, 1e-9):.2f} steps/s, {format_clock(left_s)} left"


def _make_bars() -> Bars:
    """Build bars with a count and a line of detail, which is what gets cut on a narrow terminal."""
    columns = (
        TextColumn("{task.description}", table_column=Column(min_width=LABEL_WIDTH, no_wrap=True, justify="right")),
        BarColumn(bar_width=_bar_width()),
        MofNCompleteColumn(table_column=Column(min_width=COUNT_WIDTH, no_wrap=True)),
        TextColumn("{task.fields[detail]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
    )
    return Bars(*columns, console=console)


def _bar_width() -> int:
    return max(4, min(BAR_PX, console.width - 66))


def _shorten(parts: Sequence[str], count: int) -> str:
    """Join the parts that fit beside the bar. The last one, the time left, always stays."""
    parts = list(parts)
    room = console.width - LABEL_WIDTH - _bar_width() - max(COUNT_WIDTH, 2 * len(str(count)) + 1) - 3
    while len("  ".join(parts)) > room and len(parts) > 1:
        parts.pop(-2)
    return "  ".join(parts)


def _count_jobs(jobs: Sequence[Job], skipped: int, elapsed_s: float) -> list[str]:
    """Return how many jobs are done, running and failed, pictures per hour and the time left."""
    count = {state: sum(job.state == state for job in jobs) for state in ("done", "running", "failed")}
    parts = [f"{count['done']}/{len(jobs)} done", f"{count['running']} running", f"{count['failed']} failed"]
    existing = [f"{skipped} existed"] if skipped else []
    work = sum(job.progress for job in jobs if job.state != "failed")
    if work > 0.5 and elapsed_s > 0:
        left = sum(1 - job.progress for job in jobs if job.state in ("queued", "running"))
        left_s = left * elapsed_s / work
        return [*parts, f"{3600 * work / elapsed_s:.0f} an hour", *existing, f"{format_clock(left_s)} left"]
    return [*parts, *existing]


def format_clock(seconds: float) -> str:
    """Return minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def format_losses(progress: Progress) -> str:
    """Return the losses of a step on one line."""
    return describe_losses(progress.losses.as_floats())
