"""`impasto batch`: many contents in many styles, through the queue, by several workers."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from impasto.cli.batch_report import print_dry_run, report, write_index
from impasto.cli.console import console, pull_missing
from impasto.cli.options import with_options
from impasto.cli.parameters import Json, On, Preset, Quiet
from impasto.cli.progress import ProgressView
from impasto.cli.signals import catch_signals
from impasto.config import Config, RunOptions
from impasto.config.presets import load_preset
from impasto.config.roles import assign_roles
from impasto.distributed import LOCAL, connected
from impasto.errors import ConfigError, OutputError
from impasto.images import require_output
from impasto.insight import parse_sweep
from impasto.jobs import JobStore
from impasto.jobs.batch import Batch
from impasto.jobs.batch_plan import check_further, expand, name_all, read_pairs, split_options
from impasto.jobs.capacity import Executor, distinct_runs, fitting_workers, start_executor, threads_each, with_cards
from impasto.samples.sources import resolve_picture

__all__ = ["batch"]

LOOK_S = 0.5
PATIENCE_S = 20.0
"""Between words on a cluster that has no room."""

QUEUE = ".impasto"
"""The folder of a batch's queue, in that of its pictures."""

Masks = Annotated[
    list[str] | None,
    Parameter(
        help="As for stylize; {content} and {style} in it are the names of each pair's pictures: masks/{content}.png",
        negative="",
    ),
]


@with_options(Config, RunOptions, without=("save_every", "threads"))
def batch(
    contents: Annotated[
        list[str] | None, Parameter(help="Folders, files or patterns of what is depicted.", negative="")
    ] = None,
    /,
    *,
    styles: Annotated[
        list[str] | None,
        Parameter(help="Folders, files or patterns of how it looks.", negative="", consume_multiple=True),
    ] = None,
    output: Annotated[Path, Parameter(name=["-o", "--output"], help="Folder of the pictures.")],
    pairs: Annotated[
        Path | None, Parameter(help="A CSV file with a head, content,style and options: these pairs, and no others.")
    ] = None,
    sweep: Annotated[
        list[str] | None, Parameter(help="OPTION=VALUE,VALUE: every pair with each of them.", negative="")
    ] = None,
    content_mask: Masks = None,
    style_mask: Masks = None,
    protect: Annotated[str | None, Parameter(help="As for stylize, or with {content} and {style}.")] = None,
    weights: Annotated[str | None, Parameter(help="A file of weights in place of the network's own.")] = None,
    names: Annotated[
        str, Parameter(help="What pictures are called, such as {content}_{style}_{alpha}.png or {number}.jpg.")
    ] = "",
    workers: Annotated[int, Parameter(help="Pictures painted at once; 0: as cores and memory allow.")] = 0,
    on: On = LOCAL,
    retry: Annotated[bool, Parameter(help="Try again what failed before.", negative="")] = False,
    dry_run: Annotated[
        bool, Parameter(help="Say what there is to do, and how long it will take.", negative="")
    ] = False,
    preset: Preset = "painterly",
    data_dir: Annotated[
        Path | None, Parameter(help="Folder of the queue, in place of one in that of the pictures.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    **options: Any,
) -> int:
    """Paint every content in every style. A second call does only what is missing.

    What fails is told of with its reason, and the rest goes on; then the exit status is 1. Ctrl-C leaves everything
    where it is, exactly, for the next call.
    """
    if not 0 <= workers <= 1024:
        raise ConfigError(f"--workers {workers} is out of range. Give 0 to 1024.")
    run = RunOptions(**{name: options.pop(name) for name in RunOptions.model_fields if name in options})
    given = load_preset(preset).model_dump() | options
    given |= assign_roles("content_mask", content_mask or ()) | assign_roles("style_mask", style_mask or ())
    given |= {role: place for role, place in (("protect", protect), ("weights", weights)) if place is not None}
    varied = parse_sweep(sweep or (), "--sweep")
    wanted = name_all(_runs(contents or [], styles, pairs, given, varied), output, names, list(varied))
    missing = [one for one in wanted if not one.output.exists()]
    if missing:
        check_further(wanted)
    _make(output)
    for one in wanted:
        require_output(one.output, bits=run.bits)
    with contextlib.ExitStack() as stack:
        # What the machines of a cluster have is not what this one has.
        here = run if on == LOCAL else run.model_copy(update={"device": None})
        sessions = distinct_runs(missing, here)
        cluster = with_cards(stack.enter_context(connected(on)), run.device) if on != LOCAL and missing else None
        count = workers or fitting_workers(sessions, cluster)
        run = run.model_copy(update={"threads": threads_each(count, cluster)})
        if dry_run:
            return print_dry_run(wanted, sessions, count, json=json)
        networks = {one.config.network for one in wanted if "weights" not in one.sources}
        for network in networks:
            pull_missing(network, quiet=quiet)
        store = JobStore(data_dir or output / QUEUE)
        work = Batch(store, wanted, resolve_picture, run)
        work.enqueue(retry=retry)
        began = time.monotonic()
        status = _paint(work, start_executor(store, min(count, len(work.jobs)), run, networks, cluster), quiet=quiet)
    write_index(work, output)
    report(work, time.monotonic() - began, json=json, quiet=quiet)
    return status or (1 if work.failed else 0)


def _runs(
    contents: list[str],
    styles: list[str] | None,
    pairs: Path | None,
    given: dict[str, Any],
    varied: Mapping[str, Sequence[str]],
) -> Iterator[tuple[dict[str, str], Config]]:
    if (pairs is None) == (not styles):
        raise ConfigError("Give --styles, for every pair, or --pairs FILE.csv; and not both.")
    if empty := [name for name, values in varied.items() if not values]:
        raise ConfigError(f"--sweep {empty[0]}= has no values. Write it as alpha=1,5,25.")
    if pairs is not None:
        if contents:
            raise ConfigError("--pairs names the contents itself. Leave out the others.")
        chosen = read_pairs(pairs)
    elif not contents:
        raise ConfigError("There are no contents. Name folders, files or patterns of them first.")
    else:
        chosen = [
            (content, style, {}) for content in expand(contents, "contents") for style in expand(styles or [], "styles")
        ]
    for content, style, own in chosen:
        for values in itertools.product(*varied.values()):
            swept = dict(zip(varied, values, strict=True))
            sources, options = split_options(content, style, given | own | swept)
            yield sources, Config(**options)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}. Choose another -o.") from error


def _paint(work: Batch, painters: AbstractContextManager[Executor], *, quiet: bool) -> int:
    """Work until everything has ended, a signal comes, or those who paint are gone; its status."""
    if not work.jobs:
        return 0
    with catch_signals() as catcher, ProgressView(quiet=quiet) as view, painters as painting:
        catcher.deferring = True
        began = said = time.monotonic()
        while not catcher.signal:
            jobs = work.standing()
            view.show_jobs(jobs, len(work.skipped), time.monotonic() - began)
            if all(job.state not in ("queued", "running") for job in jobs):
                break
            if painting.error is not None:
                console.print(f"impasto: {painting.error}")
                return 2
            if painting.absent and not quiet and time.monotonic() - said >= PATIENCE_S:
                said = time.monotonic()
                console.print("impasto: the cluster has no room for a painter yet; `ray status` says what it does")
            time.sleep(LOOK_S)
    work.standing()
    return 128 + catcher.signal if catcher.signal else 0
