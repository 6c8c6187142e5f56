"""`impasto jobs`: runs in a queue that survives anything."""

from __future__ import annotations

import functools
import json as json_format
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from impasto.cli.console import console, pull_missing
from impasto.cli.options import with_options
from impasto.cli.parameters import CheckpointInterval, DataDir, Json, Preset, Quiet, open_store
from impasto.cli.signals import catch_signals
from impasto.config import Config, RunOptions
from impasto.config.presets import load_preset
from impasto.core.method import Progress
from impasto.engine.allocation import keep_freed_memory
from impasto.images import require_output
from impasto.jobs import Job, JobStore
from impasto.jobs.painter import CHECKPOINT_INTERVAL_S
from impasto.jobs.submit import set_job_alpha, submit
from impasto.jobs.worker import Worker, worker_name
from impasto.run import prepare_run
from impasto.samples.sources import resolve_picture

__all__ = ["app"]

app = App(name="jobs", help="Runs in a queue that survives crashes: add them, work at them, see what became of them.")

Number = Annotated[int, Parameter(help="The job's number.")]


IDLE_S, LOOK_S = 1.0, 0.1
"""How long a worker waits for work at most: others' leases end. And how often it asks whether anything changed."""


@app.command
@with_options(Config, RunOptions, without=("save_every",))
def add(
    content: Annotated[str, Parameter(help="What is depicted: a picture's file, or sample:NAME.")],
    style: Annotated[list[str], Parameter(help="How it looks: files, or sample:NAME.", negative="")],
    /,
    *,
    output: Annotated[
        Path | None, Parameter(name=["-o", "--output"], help="Where the picture goes too, when it is done.")
    ] = None,
    priority: Annotated[int, Parameter(help="Higher ones are painted first.")] = 0,
    preset: Preset = "painterly",
    content_mask: Annotated[list[Path] | None, Parameter(help="As for stylize.", negative="")] = None,
    style_mask: Annotated[list[Path] | None, Parameter(help="As for stylize.", negative="")] = None,
    protect: Annotated[Path | None, Parameter(help="As for stylize.")] = None,
    weights: Annotated[Path | None, Parameter(help="A file of weights in place of the network's own.")] = None,
    data_dir: DataDir = None,
    json: Json = False,
    **options: Any,
) -> int:
    """Put a run into the queue. Its pictures are copied: they may change or go away."""
    config = load_preset(preset)
    size_px = options.get("size", config.size)
    run = prepare_run(
        resolve_picture(content, size_px),
        [resolve_picture(name, size_px) for name in style],
        config,
        content_masks=content_mask or (),
        style_masks=style_mask or (),
        protect=protect,
        weights=weights,
        **options,
    )
    height, width = run.workload.height, run.workload.width  # finds out that they are pictures
    if output is not None:
        require_output(output, bits=run.options.bits, height=height, width=width)
    place = str(output.absolute()) if output is not None else None
    job = submit(open_store(data_dir), run.inputs, run.config, run.options, output=place, priority=priority)
    print(json_format.dumps(asdict(job)) if json else f"job {job.id} is queued")
    return 0


@app.command(name="list")
def list_jobs(*, data_dir: DataDir = None, json: Json = False) -> int:
    """List all jobs, oldest first."""
    jobs = open_store(data_dir).jobs()
    if json:
        print(json_format.dumps([asdict(job) for job in jobs]))
        return 0
    table = Table("job", "state", "done", "content", "style", "α", "size", box=None, padding=(0, 2, 0, 0))
    for job in jobs:
        names = [str(job.inputs[role]["name"]) for role in ("content", "style")]
        done = f"{job.progress:.0%}" if job.state != "queued" or job.progress else ""
        size, alpha = str(job.config["size"]), " → ".join(f"{value:g}" for value in job.alphas)
        table.add_row(str(job.id), job.error or _state(job), done, *names, alpha, size)
    Console(highlight=False, soft_wrap=True, markup=False).print(table if jobs else "no jobs")
    return 0


@app.command
def show(job: Number, /, *, data_dir: DataDir = None, json: Json = False) -> int:
    """Show what a job is, how far it is, and what it came to; with --json, all that is known of it."""
    found = open_store(data_dir).get(job)
    if json:
        print(json_format.dumps(asdict(found)))
        return 0
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in _described(found):
        table.add_row(name, value)
    Console(highlight=False, soft_wrap=True, markup=False).print(table)
    return 0


def _described(job: Job) -> Iterator[tuple[str, str]]:
    """What a person asks of a job, a line each."""
    yield "job", str(job.id)
    yield "state", _state(job) + (f", by {job.worker}" if job.worker else "")
    for role, file in job.inputs.items():
        yield role.replace("_", " "), str(file["name"])
    options = Config(**job.config).overrides().items()
    yield "options", ", ".join(f"{name} {value}" for name, value in options) or "the defaults"
    if job.alpha_changes:
        yield "α in turn", " → ".join(f"{value:g}" for value in job.alphas)
    yield (
        "progress",
        f"{job.progress:.0%} in {job.elapsed_s:.0f} s" + (f", attempt {job.attempt}" if job.attempt > 1 else ""),
    )
    if job.result is not None:
        yield "losses", ", ".join(f"{name} {job.result['losses'][name]:.4g}" for name in ("content", "style", "total"))
    if job.output is not None:
        yield "output", job.output
    if job.error is not None:
        yield "error", job.error
    yield "added", f"{datetime.fromtimestamp(job.created_s):%Y-%m-%d %H:%M:%S}"


def _state(job: Job) -> str:
    return "paused" if job.paused else job.state


@app.command
def cancel(job: Number, /, *, data_dir: DataDir = None) -> int:
    """Cancel a job: at once if it waits, at its next step if it runs."""
    print(f"job {job} is {'being ' if open_store(data_dir).cancel(job).state == 'running' else ''}cancelled")
    return 0


@app.command
def pause(job: Number, /, *, data_dir: DataDir = None) -> int:
    """Let a job wait, from its next step on if it runs, until it is resumed."""
    open_store(data_dir).pause(job)
    print(f"job {job} waits. Go on with: impasto jobs resume {job}")
    return 0


@app.command
def resume(job: Number, /, *, data_dir: DataDir = None) -> int:
    """Let a job that was paused go on, exactly where it was."""
    open_store(data_dir).resume(job)
    print(f"job {job} goes on")
    return 0


@app.command
def alpha(job: Number, value: Annotated[float, Parameter(help="The new one.")], /, *, data_dir: DataDir = None) -> int:
    """Let a job go on with another α, from its next step on. Its picture's recipe tells where."""
    set_job_alpha(open_store(data_dir), job, value)
    print(f"job {job} goes on with α = {value:g}")
    return 0


@app.command
def retry(job: Number, /, *, data_dir: DataDir = None) -> int:
    """Put a job that failed or was cancelled back into the queue; it goes on where it was."""
    print(f"job {open_store(data_dir).retry(job).id} is queued")
    return 0


@app.command
def rm(job: Number, /, *, data_dir: DataDir = None) -> int:
    """Forget a job, and the files that no other job needs."""
    store = open_store(data_dir)
    store.remove(job)
    store.remove_unused_files()
    return 0


@app.command
def verify(*, data_dir: DataDir = None) -> int:
    """Check the queue and its files; what is wrong is told, and nothing is changed."""
    wrong = open_store(data_dir).verify()
    for line in wrong:
        print(line)
    if not wrong:
        print("all is well")
    return 1 if wrong else 0


@app.command
def worker(
    *,
    drain: Annotated[bool, Parameter(negative="", help="End when nothing is left to do, instead of waiting.")] = False,
    until_eof: Annotated[
        bool, Parameter(negative="", help="End when standard input does: with the program that began it.")
    ] = False,
    checkpoint_every: CheckpointInterval = CHECKPOINT_INTERVAL_S,
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> int:
    """Paint jobs, one after the other, until it is stopped. Several workers share the work."""
    store = open_store(data_dir)
    keep_freed_memory()
    seen: dict[str, int] = {}
    left = threading.Event()
    if until_eof:
        threading.Thread(target=_wait_for_eof, args=(left,), daemon=True).start()

    with catch_signals() as catcher:
        catcher.deferring = True  # a signal waits for the step

        def stopped() -> bool:
            return bool(catcher.signal) or left.is_set()

        def watch(job: Job, progress: Progress) -> None:
            painter.stopping = stopped()
            if not quiet and seen.get("job") != job.id:
                seen["job"] = job.id
                console.print(f"job {job.id}: {job.inputs['content']['name']}, {job.inputs['style']['name']}")

        fetch = functools.partial(pull_missing, quiet=quiet)
        painter = Worker(
            store, worker_name(os.getpid()), observer=watch, pull_weights=fetch, checkpoint_interval_s=checkpoint_every
        )
        if until_eof:  # somebody waits for the first picture
            painter.warm_up()
        while not stopped():
            revision = store.revision()
            done = painter.run_one()
            if done is None:
                if drain:
                    break
                _wait(store, revision, stopped)
            elif not quiet:
                console.print(f"job {done.id} is {done.state}{f': {done.error}' if done.error else ''}")
    return 0


def _wait(store: JobStore, revision: int, stopped: Callable[[], bool]) -> None:
    """Wait until something changed, or a lease may have ended."""
    until = time.monotonic() + IDLE_S
    while time.monotonic() < until and not stopped() and store.revision() == revision:
        time.sleep(LOOK_S)


def _wait_for_eof(left: threading.Event) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    left.set()
