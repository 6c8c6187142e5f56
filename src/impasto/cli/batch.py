"""`impasto batch`: many contents in many styles, through the queue, by several workers."""

from __future__ import annotations

import contextlib
import itertools
import json as json_format
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any, Protocol

import psutil
import torch
from cyclopts import Parameter

from impasto.cli.console import duration, errors, pull_missing, tally
from impasto.cli.options import takes_options
from impasto.cli.stopping import signals
from impasto.cli.stylize import Json, On, Preset, Quiet
from impasto.cluster import LOCAL, Cluster, connected
from impasto.compose import Session, session
from impasto.config import Config, RunOptions
from impasto.errors import ConfigError, ImpastoError, OutputError
from impasto.images import check_output
from impasto.insight import parse_over
from impasto.insight.contact import Entry, write_contact_sheet
from impasto.jobs import JobStore
from impasto.jobs.batch import Batch, Wanted, expand, name_all, read_pairs
from impasto.jobs.workers import Workers
from impasto.presets import load_preset
from impasto.samples.naming import source

__all__ = ["batch"]

LOOK_S = 0.5
PATIENCE_S = 20.0
"""Between words on a cluster that has no room."""

QUEUE = ".impasto"
"""The folder of a batch's queue, in that of its pictures."""


class Hands(Protocol):
    """Those who paint the jobs of a queue; `error` says why there are none any more, `absent` that none came yet."""

    error: ImpastoError | None
    absent: bool


@takes_options(Config, RunOptions, without=("save_every", "init", "threads"))
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
    given = load_preset(preset).model_dump(exclude_unset=True) | options
    varied = parse_over(sweep or (), "--sweep")
    wanted = name_all(_runs(contents or [], styles, pairs, given, varied), output, names, list(varied))
    _make(output)
    for one in wanted:
        check_output(one.output, bits=run.bits)
    with contextlib.ExitStack() as stack:
        missing = [one for one in wanted if not one.output.exists()]
        cluster = stack.enter_context(connected(on)) if on != LOCAL and missing else None
        sessions = _first_sessions(missing, run)
        count = workers or fitting_workers(sessions, cluster)
        run = run.model_copy(update={"threads": _threads(count, cluster)})
        store = JobStore(data_dir or output / QUEUE)
        work = Batch(store, wanted, source, run)
        if dry_run:
            return _told_only(work, sessions, count, json=json)
        networks = {one.config.network for one in wanted}
        for network in networks:
            pull_missing(network, quiet=quiet)
        work.enqueue(retry=retry)
        began = time.monotonic()
        status = _paint(work, _hands(store, min(count, len(work.jobs)), run, networks, cluster), quiet=quiet)
    _write_index(work, output)
    _report(work, time.monotonic() - began, json=json, quiet=quiet)
    return status or (1 if work.failed else 0)


def _runs(
    contents: list[str],
    styles: list[str] | None,
    pairs: Path | None,
    given: dict[str, Any],
    varied: Mapping[str, Sequence[str]],
) -> Iterator[tuple[str, str, Config]]:
    if (pairs is None) == (styles is None):
        raise ConfigError("Give --styles, for every pair, or --pairs FILE.csv; and not both.")
    if pairs is not None:
        if contents:
            raise ConfigError("--pairs names the contents itself. Leave out the others.")
        chosen = read_pairs(pairs)
    else:
        chosen = [
            (content, style, {}) for content in expand(contents, "contents") for style in expand(styles or [], "styles")
        ]
    for content, style, own in chosen:
        for values in itertools.product(*varied.values()):
            swept = dict(zip(varied, values, strict=True))
            yield content, style, Config(**(given | own | swept))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}. Choose another -o.") from error


def _first_sessions(wanted: list[Wanted], run: RunOptions) -> list[Session]:
    """A session for each size of work, to tell what it takes; what cannot be read will fail by itself."""
    found: dict[Any, Session] = {}
    for one in wanted:
        key = one.config.model_copy(update={"alpha": 1.0, "content_weight": 1.0, "seed": 0})
        if key.model_dump_json() not in found:
            ready = session(source(one.content, 64), source(one.style, 64), one.config, **run.model_dump())
            try:
                ready.work  # noqa: B018 - whether they can be read
            except ImpastoError:
                continue
            found[key.model_dump_json()] = ready
    return list(found.values())


def fitting_workers(sessions: list[Session], cluster: Cluster | None = None) -> int:
    """How many paint at once: as many as cores, or graphics cards, and no more than memory holds."""
    need = max((one.estimate().memory for one in sessions), default=0)
    if cluster is not None and cluster.gpus:
        return cluster.gpus
    cores = len(os.sched_getaffinity(0)) if cluster is None else cluster.cpus
    room = psutil.virtual_memory().available if cluster is None else cluster.memory
    return max(1, min(cores, int(room // need) if need else 1))


def _threads(count: int, cluster: Cluster | None) -> int:
    """Processors that each of so many has for itself."""
    if cluster is None:
        return max(1, torch.get_num_threads() // count)
    return max(1, min(cluster.cpus // count, cluster.least_cpus))


def _hands(
    store: JobStore, count: int, run: RunOptions, networks: Collection[str], cluster: Cluster | None
) -> AbstractContextManager[Hands]:
    """Who paints, while this is open."""
    if cluster is None or not count:
        return Workers(store, count)
    from impasto.cluster.painters import Painters

    return Painters(store, cluster, count, threads=run.threads, networks=networks)


def _told_only(work: Batch, sessions: list[Session], count: int, *, json: bool) -> int:
    missing = [one for one in work.wanted if not one.output.exists()]
    seconds = len(missing) * sum(one.estimate().seconds for one in sessions) / max(1, len(sessions)) / count
    told = {"wanted": len(work.wanted), "missing": len(missing), "workers": count, "seconds": round(seconds)}
    if json:
        print(json_format.dumps(told | {"outputs": [str(one.output) for one in missing]}))
    else:
        for one in missing:
            print(f"{one.output}  {one.content} × {one.style}")
        print(f"{len(missing)} of {len(work.wanted)} are missing: about {duration(seconds)} with {count} at once")
    return 0


def _paint(work: Batch, hands: AbstractContextManager[Hands], *, quiet: bool) -> int:
    """Work until everything has ended, or a signal comes; its status. Raises what ended all who paint."""
    if not work.jobs:
        return 0
    with signals() as caught, tally(quiet=quiet) as shown, hands as painting:
        caught.painting = True
        began = said = time.monotonic()
        while not caught.signal:
            jobs = work.standing()
            shown.show(jobs, len(work.skipped), time.monotonic() - began)
            if all(job.state not in ("queued", "running") for job in jobs):
                break
            if painting.error is not None:
                raise painting.error
            if painting.absent and not quiet and time.monotonic() - said >= PATIENCE_S:
                said = time.monotonic()
                errors.print("impasto: the cluster has no room for a painter yet; `ray status` says what it does")
            time.sleep(LOOK_S)
    work.standing()
    return 128 + caught.signal if caught.signal else 0


def _write_index(work: Batch, folder: Path) -> None:
    """A page of all that is there, and of what is not."""
    entries = []
    results = {job.output: job for job in work.store.jobs() if job.result}
    for one in work.wanted:
        job = results.get(str(one.output.absolute()))
        losses: dict[str, float] = job.result["losses"] if job is not None and job.result is not None else {}
        caption = f"{Path(one.content).stem} × {Path(one.style).stem}, α = {one.config.alpha:g}"
        why = work.failed.get(one.output) or ("" if one.output.exists() else "not painted yet")
        entries.append(Entry(one.output.name, caption, losses, why))
    write_contact_sheet(folder / "index.html", entries)


def _report(work: Batch, seconds: float, *, json: bool, quiet: bool) -> None:
    finished = [work.jobs[job.id] for job in work.standing() if job.state == "done"]
    failed = [{"output": str(path), "error": why} for path, why in work.failed.items()]
    if json:
        told = {
            "done": len(finished),
            "skipped": len(work.skipped),
            "failed": failed,
            "outputs": [str(one.output) for one in (*work.skipped, *finished)],
            "seconds": round(seconds, 3),
        }
        print(json_format.dumps(told))
        return
    for one in failed:
        errors.print(f"{one['output']}: {one['error']}")
    if not quiet:
        print(f"{len(finished)} painted, {len(work.skipped)} there already, {len(failed)} failed")
