"""`impasto batch`: many contents in many styles."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from impasto.cli.batch_report import print_estimate, print_report
from impasto.cli.clip_work import read_cuts
from impasto.cli.console import console, log_to_console, pull_missing
from impasto.cli.flags import name_flags
from impasto.cli.options import with_options
from impasto.cli.parameters import Json, On, Preset, Quiet, Weights, Whole
from impasto.cli.progress import ProgressView
from impasto.cli.signals import SignalCatcher, catch_signals
from impasto.config import Config, RunOptions
from impasto.config.presets import load_preset
from impasto.config.roles import assign_roles
from impasto.config.video import VideoOptions
from impasto.distributed import LOCAL
from impasto.insight import parse_sweep
from impasto.jobs.batch import BatchReport, estimate_batch, paint_batch, plan_batch
from impasto.jobs.batch_plan import BatchItem

__all__ = ["batch"]

Pattern = Annotated[str | None, Parameter(help="As for stylize; may contain {content} and {style}.")]
Patterns = Annotated[
    list[str] | None,
    Parameter(
        help="As for stylize. {content} and {style} stand for the names of a pair's pictures: masks/{content}.png",
        negative="",
    ),
]


@Parameter(name="*")
@dataclass(frozen=True)
class BatchFiles:
    """The pictures of a batch, and how they are combined and named."""

    styles: Annotated[
        list[str] | None,
        Parameter(help="Style images: folders, files or patterns.", negative="", consume_multiple=True),
    ] = None
    pairs: Annotated[
        Path | None,
        Parameter(help="CSV file of pairs, in place of every combination. Its header: content,style and options."),
    ] = None
    sweep: Annotated[
        list[str] | None, Parameter(help="OPTION=VALUE,VALUE: paint every pair with each value.", negative="")
    ] = None
    content_mask: Patterns = None
    style_mask: Patterns = None
    protect: Pattern = None
    weights: Weights = None
    names: Annotated[
        str, Parameter(help="Pattern for file names, such as {content}_{style}_{alpha}.png or {number}.jpg.")
    ] = ""

    def plan(self, contents: Sequence[str], output: Path, options: dict[str, Any]) -> list[BatchItem]:
        """Return the pictures to paint. Raises `ConfigError`."""
        given = options | assign_roles("content_mask", self.content_mask or ())
        given |= assign_roles("style_mask", self.style_mask or ())
        given |= {name: file for name in ("protect", "weights") if (file := getattr(self, name)) is not None}
        sweep = parse_sweep(self.sweep or (), "--sweep")
        return plan_batch(
            contents, self.styles or [], output, pairs=self.pairs, options=given, sweep=sweep, names=self.names
        )


@Parameter(name="*")
@dataclass(frozen=True)
class Execution:
    """The workers and the queue of a batch."""

    workers: Annotated[Whole, Parameter(help="Pictures to paint at once; 0 chooses by processors and memory.")] = 0
    on: On = LOCAL
    retry: Annotated[bool, Parameter(help="Retry pictures that failed before.", negative="")] = False
    dry_run: Annotated[
        bool, Parameter(help="Print what is missing and how long it will take, without painting.", negative="")
    ] = False
    data_dir: Annotated[Path | None, Parameter(help="Folder of the queue. Default: .impasto in the output.")] = None


@with_options(Config, RunOptions, VideoOptions, without=("save_every", "threads"))
def batch(
    contents: Annotated[
        list[str] | None, Parameter(help="Content images and clips: folders, files or patterns.", negative="")
    ] = None,
    /,
    *,
    output: Annotated[Path, Parameter(name=["-o", "--output"], help="Folder to write the pictures to.")],
    files: BatchFiles = BatchFiles(),
    how: Execution = Execution(),
    preset: Preset = "painterly",
    json: Json = False,
    quiet: Quiet = False,
    **options: Any,
) -> int:
    """Paint every content in every style. A second call paints only what is missing.

    Failures are reported and do not stop the batch; then the exit status is 1. Ctrl-C stops after the current steps,
    and the next call continues exactly from there.
    """
    if not quiet:
        log_to_console()
    run_options = RunOptions.take(options)
    items = files.plan(contents or [], output, load_preset(preset).model_dump() | read_cuts(options))
    if how.dry_run:
        estimate = estimate_batch(items, output, run_options, workers=how.workers, on=how.on)
        print_estimate(estimate, len(items), json=json)
        return 0
    with catch_signals() as catcher, ProgressView(quiet=quiet) as view:
        report = _paint(items, output, run_options, how, view, catcher, quiet=quiet)
    if report.error is not None:
        console.print(f"impasto: {name_flags(str(report.error))}")
    print_report(report, json=json, quiet=quiet)
    if catcher.signal:
        return 128 + catcher.signal
    return 2 if report.error is not None else 1 if report.failed else 0


def _paint(
    items: list[BatchItem],
    output: Path,
    options: RunOptions,
    how: Execution,
    view: ProgressView,
    catcher: SignalCatcher,
    *,
    quiet: bool,
) -> BatchReport:
    def stop() -> bool:
        catcher.deferring = True  # from now on, a signal waits for the end of a step
        return bool(catcher.signal)

    return paint_batch(
        items,
        output,
        options,
        workers=how.workers,
        on=how.on,
        retry=how.retry,
        data_dir=how.data_dir,
        observer=view.show_jobs,
        stop=stop,
        pull_weights=functools.partial(pull_missing, quiet=quiet),
    )
