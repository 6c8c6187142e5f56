"""What a person sees while a picture is painted: bars on a terminal, plain lines elsewhere. All on stderr."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column

from impasto import weights
from impasto.core.method import Progress
from impasto.insight.run_grid import GridProgress
from impasto.jobs.model import Job
from impasto.run.pace import share_done, step_of
from impasto.run.run import Run

__all__ = [
    "Display",
    "announce",
    "display",
    "duration",
    "errors",
    "pull_missing",
    "pull_weights",
    "tally",
    "wall_display",
]

errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)

LINE_EVERY_S = 5.0


LARGE = 100e6
"""Pixels times steps from which a run is announced with what it will take: some ten minutes on two cores."""


def announce(session: Run, *, quiet: bool) -> None:
    """Plan the run, which refuses one that cannot fit, and say what a large one will take."""
    plan, work = session.plan, session.work
    if quiet or (work.pixels * work.config.iterations < LARGE and not plan.block):
        return
    expected = session.estimate()
    where = f", {expected.disk / 1e9:.0f} GB of disk" if plan.scratch else ""
    how = f", in blocks of {plan.block} px" if plan.block else ""
    errors.print(
        f"{work.width}x{work.height} px: about {duration(expected.seconds)}, "
        f"{expected.memory / 1e9:.1f} GB of memory{where}{how}"
    )


def duration(seconds: float) -> str:
    """Minutes, hours or days, as one would say it."""
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{max(1, minutes)} min"
    return f"{minutes / 60:.0f} h" if minutes < 60 * 48 else f"{minutes / 60 / 24:.0f} days"


class Display(Protocol):
    """Something that shows each step."""

    def show(self, progress: Progress, /) -> None: ...


class _Silent:
    def show(self, *_: object) -> None:
        pass


class _Lines:
    """A line at the end of every scale, and every few seconds in between."""

    def __init__(self) -> None:
        self.last_s = time.monotonic()
        self.pace = _Pace()

    def show(self, progress: Progress) -> None:
        pace = self.pace.of(progress)
        now = time.monotonic()
        if now - self.last_s >= LINE_EVERY_S or progress.iteration == progress.size.iterations:
            self.last_s = now
            size = progress.size
            errors.print(
                f"{size.width}x{size.height}  step {progress.iteration}/{size.iterations}  {_losses(progress)}  {pace}"
            )


class _Bars:
    """A bar for each scale."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.pace = _Pace()
        self.tasks: dict[int, TaskID] = {}

    def show(self, progress: Progress) -> None:
        size = progress.size
        if progress.scale not in self.tasks:
            self.tasks[progress.scale] = self.bars.add_task(
                f"{size.width}x{size.height}", total=size.iterations, losses="", pace=""
            )
        self.bars.update(
            self.tasks[progress.scale],
            completed=progress.iteration,
            losses=_losses(progress),
            pace=self.pace.of(progress),
        )


class _Pace:
    """Steps a second at this size, and the time left: work is steps times pixels."""

    def __init__(self) -> None:
        self.scale = 0
        self.began_s = self.last_s = 0.0

    def of(self, progress: Progress) -> str:
        if progress.scale != self.scale:
            self.scale, self.began_s = progress.scale, self.last_s
        self.last_s = progress.elapsed_s
        here_s = progress.elapsed_s - self.began_s
        if progress.iteration == progress.size.iterations:
            return f"in {_clock(here_s)}"
        left_s = progress.elapsed_s * (1 / share_done(progress) - 1)
        return f"{progress.iteration / max(here_s, 1e-9):.2f} steps/s, {_clock(left_s)} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


@contextlib.contextmanager
def display(*, quiet: bool) -> Iterator[Display]:
    """Bars if stderr is a terminal, lines if not, nothing if `quiet`."""
    if quiet:
        yield _Silent()
    elif errors.is_terminal:
        columns = (
            TextColumn("{task.description:>9}"),
            BarColumn(bar_width=max(4, min(24, errors.width - 80))),
            MofNCompleteColumn(),
            TextColumn("{task.fields[losses]}"),
            TextColumn("[dim]{task.fields[pace]}"),
        )
        with Bars(*columns, console=errors) as bars:
            yield _Bars(bars)
    else:
        yield _Lines()


class WallDisplay(Protocol):
    """Something that shows each step of a wall."""

    def show(self, standing: GridProgress, /) -> None: ...


class _WallLines:
    """A line when a panel begins."""

    panel = 0

    def show(self, standing: GridProgress) -> None:
        if standing.number != self.panel:
            self.panel = standing.number
            errors.print(f"{standing.number}/{standing.count}  {standing.panel}")


class _WallBars:
    """A bar for the wall, and one for the panel that is painted."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.whole = bars.add_task("panels", total=None, detail="")
        self.panel = bars.add_task("steps", total=None, detail="")

    def show(self, standing: GridProgress) -> None:
        progress = standing.progress
        done, planned = step_of(progress)
        self.bars.update(self.whole, completed=standing.number - 1, total=standing.count, detail=standing.panel)
        self.bars.update(self.panel, completed=done, total=planned, detail=_losses(progress))


def _detailed_bars() -> Bars:
    """Bars of so many of so many, each with a line of detail, which is what gives way on a narrow terminal."""
    columns = (
        TextColumn("{task.description:>9}", table_column=Column(min_width=9, no_wrap=True)),
        BarColumn(bar_width=_bar_width()),
        MofNCompleteColumn(table_column=Column(min_width=7, no_wrap=True)),
        TextColumn("{task.fields[detail]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
    )
    return Bars(*columns, console=errors)


def _bar_width() -> int:
    return max(4, min(24, errors.width - 66))


@contextlib.contextmanager
def wall_display(*, quiet: bool) -> Iterator[WallDisplay]:
    """The same for walls of pictures."""
    if quiet:
        yield _Silent()
    elif errors.is_terminal:
        with _detailed_bars() as bars:
            yield _WallBars(bars)
    else:
        yield _WallLines()


class TallyDisplay(Protocol):
    """Something that shows how far many pictures are."""

    def show(self, jobs: Sequence[Job], skipped: int, elapsed_s: float, /) -> None: ...


class _TallyLines:
    """A line when a picture is done, and no more often than every few seconds."""

    def __init__(self) -> None:
        self.told = ""
        self.last_s = -LINE_EVERY_S

    def show(self, jobs: Sequence[Job], skipped: int, elapsed_s: float) -> None:
        line = "  ".join(_tallied(jobs, skipped, elapsed_s))
        ended = all(job.state not in ("queued", "running") for job in jobs)
        if line != self.told and (elapsed_s - self.last_s >= LINE_EVERY_S or ended):
            self.told, self.last_s = line, elapsed_s
            errors.print(line)


class _TallyBars:
    """A bar for all, and one for each picture that is painted now."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.whole = bars.add_task("pictures", total=None, detail="")
        self.tasks: dict[int, TaskID] = {}

    def show(self, jobs: Sequence[Job], skipped: int, elapsed_s: float) -> None:
        ended = sum(job.state not in ("queued", "running") for job in jobs)
        room = errors.width - 9 - _bar_width() - max(7, 2 * len(str(len(jobs))) + 1) - 3
        _, *parts = _tallied(jobs, skipped, elapsed_s)
        while len("  ".join(parts)) > room and len(parts) > 1:
            parts.pop(-2)  # how long it takes is what is looked for
        self.bars.update(self.whole, completed=ended, total=len(jobs), detail="  ".join(parts))
        running = {job.id: job for job in jobs if job.state == "running"}
        for number in self.tasks.keys() - running.keys():
            self.bars.remove_task(self.tasks.pop(number))
        for number, job in running.items():
            if number not in self.tasks:
                names = f"{job.inputs['content']['name']} × {job.inputs['style']['name']}"
                self.tasks[number] = self.bars.add_task(f"job {number}", total=100, detail=names)
            self.bars.update(self.tasks[number], completed=round(100 * job.progress))


def _tallied(jobs: Sequence[Job], skipped: int, elapsed_s: float) -> list[str]:
    """Done, running, failed, pictures an hour, time left."""
    count = {state: sum(job.state == state for job in jobs) for state in ("done", "running", "failed")}
    parts = [f"{count['done']}/{len(jobs)} done", f"{count['running']} running", f"{count['failed']} failed"]
    there = [f"{skipped} there already"] if skipped else []
    work = sum(job.progress for job in jobs) - sum(job.progress for job in jobs if job.state == "failed")
    if work > 0.5 and elapsed_s > 0:
        left = sum(1 - job.progress for job in jobs if job.state in ("queued", "running"))
        return [*parts, f"{3600 * work / elapsed_s:.0f} an hour", *there, f"{_clock(left * elapsed_s / work)} left"]
    return [*parts, *there]


@contextlib.contextmanager
def tally(*, quiet: bool) -> Iterator[TallyDisplay]:
    """How far many pictures are: bars if stderr is a terminal, lines if not, nothing if `quiet`."""
    if quiet:
        yield _Silent()
    elif errors.is_terminal:
        with _detailed_bars() as bars:
            yield _TallyBars(bars)
    else:
        yield _TallyLines()


def pull_missing(name: str, *, quiet: bool = False) -> None:
    """Fetch weights if they are not here yet. Raises `WeightsError`."""
    if not weights.is_cached(name):
        pull_weights(name, quiet=quiet)


def pull_weights(name: str, *, quiet: bool = False) -> None:
    """Fetch weights, with a bar. Raises `WeightsError`."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), DownloadColumn())
    with Bars(*columns, console=errors, disable=quiet) as bars:
        task = bars.add_task(f"weights of {name}", total=None)
        for progress in weights.pull(name):
            if progress.failed:
                if not quiet:
                    bars.console.print(f"no luck with {progress.failed}")
                continue
            bars.update(
                task,
                description=f"weights of {name} from {progress.address}",
                completed=progress.done_bytes,
                total=progress.total_bytes or None,
            )


def _losses(progress: Progress) -> str:
    losses = progress.losses
    return f"total {float(losses.total):.3g} content {float(losses.content):.3g} style {float(losses.style):.3g}"
