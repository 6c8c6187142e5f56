"""`impasto batch`: many contents in many styles."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from impasto.cli.batch_report import print_estimate, print_report
from impasto.cli.console import console, log_to_console, pull_missing
from impasto.cli.options import with_options
from impasto.cli.parameters import Json, On, Preset, Quiet
from impasto.cli.progress import ProgressView
from impasto.cli.signals import catch_signals
from impasto.config import Config, RunOptions
from impasto.config.presets import load_preset
from impasto.config.roles import assign_roles
from impasto.distributed import LOCAL
from impasto.insight import parse_sweep
from impasto.jobs.batch import estimate_batch, paint_batch, plan_batch

__all__ = ["batch"]

Masks = Annotated[
    list[str] | None,
    Parameter(
        help="As for stylize. {content} and {style} stand for the names of a pair's pictures: masks/{content}.png",
        negative="",
    ),
]


@with_options(Config, RunOptions, without=("save_every", "threads"))
def batch(
    contents: Annotated[
        list[str] | None, Parameter(help="Content images: folders, files or patterns.", negative="")
    ] = None,
    /,
    *,
    styles: Annotated[
        list[str] | None,
        Parameter(help="Style images: folders, files or patterns.", negative="", consume_multiple=True),
    ] = None,
    output: Annotated[Path, Parameter(name=["-o", "--output"], help="Folder to write the pictures to.")],
    pairs: Annotated[
        Path | None,
        Parameter(help="CSV file of pairs, in place of every combination. Its header: content,style and options."),
    ] = None,
    sweep: Annotated[
        list[str] | None, Parameter(help="OPTION=VALUE,VALUE: paint every pair with each value.", negative="")
    ] = None,
    content_mask: Masks = None,
    style_mask: Masks = None,
    protect: Annotated[str | None, Parameter(help="As for stylize; may contain {content} and {style}.")] = None,
    weights: Annotated[str | None, Parameter(help="Weights file to use in place of the network's own.")] = None,
    names: Annotated[
        str, Parameter(help="Pattern for file names, such as {content}_{style}_{alpha}.png or {number}.jpg.")
    ] = "",
    workers: Annotated[int, Parameter(help="Pictures to paint at once; 0 chooses by processors and memory.")] = 0,
    on: On = LOCAL,
    retry: Annotated[bool, Parameter(help="Retry pictures that failed before.", negative="")] = False,
    dry_run: Annotated[
        bool, Parameter(help="Print what is missing and how long it will take, without painting.", negative="")
    ] = False,
    preset: Preset = "painterly",
    data_dir: Annotated[Path | None, Parameter(help="Folder of the queue. Default: .impasto in the output.")] = None,
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
    run_options = RunOptions(**{name: options.pop(name) for name in RunOptions.model_fields if name in options})
    chosen = load_preset(preset).model_dump() | options
    chosen |= assign_roles("content_mask", content_mask or ()) | assign_roles("style_mask", style_mask or ())
    chosen |= {role: source for role, source in (("protect", protect), ("weights", weights)) if source is not None}
    swept = parse_sweep(sweep or (), "--sweep")
    items = plan_batch(contents or [], styles or [], output, pairs=pairs, options=chosen, sweep=swept, names=names)
    if dry_run:
        print_estimate(estimate_batch(items, output, run_options, workers=workers, on=on), len(items), json=json)
        return 0
    with catch_signals() as catcher, ProgressView(quiet=quiet) as view:
        report = paint_batch(
            items,
            output,
            run_options,
            workers=workers,
            on=on,
            retry=retry,
            data_dir=data_dir,
            observer=view.show_jobs,
            stop=functools.partial(_stop, catcher),
            pull_weights=functools.partial(pull_missing, quiet=quiet),
        )
    if report.error is not None:
        console.print(f"impasto: {report.error}")
    print_report(report, json=json, quiet=quiet)
    if catcher.signal:
        return 128 + catcher.signal
    return 2 if report.error is not None else 1 if report.failed else 0


def _stop(catcher: Any) -> bool:
    catcher.deferring = True  # from now on, a signal waits for the end of a step
    return bool(catcher.signal)
