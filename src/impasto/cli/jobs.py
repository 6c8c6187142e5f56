"""`impasto jobs`: the durable queue of runs."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from impasto.cli.clip_work import queue_clip
from impasto.cli.console import print_table
from impasto.cli.flags import name_flags
from impasto.cli.options import with_options
from impasto.cli.paint import prepare
from impasto.cli.parameters import DataDir, Json, MaskParameters, Preset, Whole, open_store
from impasto.cli.worker import worker
from impasto.clips.kinds import is_clip
from impasto.config import Config, RunOptions
from impasto.config.print_size import NO_PRINT
from impasto.config.video import VideoOptions
from impasto.errors import ConfigError
from impasto.images import require_output
from impasto.jobs import Job
from impasto.jobs.submit import set_job_alpha, submit

__all__ = ["app"]

app = App(name="jobs", help="Manage a durable queue of runs: add jobs, run workers, follow and change jobs.")

Number = Annotated[Whole, Parameter(help="Number of the job.")]


@app.command
@with_options(Config, RunOptions, VideoOptions, without=("save_every",))
def add(
    content: Annotated[
        str,
        Parameter(help="Content image: a file, - for standard input, or sample:NAME. Or a clip, as for impasto video."),
    ],
    style: Annotated[list[str], Parameter(help="Style images: files, or sample:NAME.", negative="")],
    /,
    *,
    output: Annotated[
        Path | None, Parameter(name=["-o", "--output"], help="File to copy the finished picture to.")
    ] = None,
    priority: Annotated[Whole, Parameter(help="Jobs with higher priority are painted first.")] = 0,
    preset: Preset = "painterly",
    masks: MaskParameters = MaskParameters(),
    data_dir: DataDir = None,
    json: Json = False,
    **options: Any,
) -> int:
    """Add a run to the queue. Its pictures are copied, so you can change or delete them.

    Of a clip, every shot is a job of its own, so that several workers paint it.
    """
    given = options | masks.as_options()
    if is_clip(content) or options.get("seconds") is not None:
        store = open_store(data_dir)
        _print_added(queue_clip(store, content, style, given, output, preset=preset, priority=priority), json=json)
        return 0
    if clip_only := [name for name in VideoOptions.model_fields if name in options]:
        raise ConfigError(f"`{clip_only[0]}` is an option of clips, and {content} is a picture. Leave it out.")
    run = prepare([content, *style], preset, given)
    run.workload  # noqa: B018 - raises if an input is not a picture
    height, width = run.sizes.frame.canvas
    if output is not None:
        require_output(output, bits=run.options.bits, height=height, width=width, profile=run.profile)
    place = str(output.absolute()) if output is not None else None
    job = submit(open_store(data_dir), run.inputs, run.config, run.options, output=place, priority=priority)
    _print_added(job, json=json)
    return 0


def _print_added(job: Job, *, json: bool) -> None:
    print(json_format.dumps(asdict(job)) if json else f"job {job.id} is queued")


@app.command(name="list")
def list_jobs(*, data_dir: DataDir = None, json: Json = False) -> int:
    """List all jobs, oldest first."""
    jobs = open_store(data_dir).jobs()
    if json:
        print(json_format.dumps([asdict(job) for job in jobs]))
        return 0
    if jobs:
        print_table(map(_row, jobs), "job", "state", "done", "content", "style", "α", "size")
    else:
        print("no jobs")
    return 0


def _row(job: Job) -> tuple[str, ...]:
    """Return the cells of a job in `jobs list`."""
    names = [str(job.inputs[role]["name"]) for role in ("content", "style")]
    done = f"{job.progress:.0%}" if job.state != "queued" or job.progress else ""
    config = Config(**job.config)
    size = str(config.size) if config.print == NO_PRINT else config.print
    alpha = " → ".join(f"{value:g}" for value in job.alphas)
    return str(job.id), name_flags(job.error or _state(job)), done, *names, alpha, size


@app.command
def show(job: Number, /, *, data_dir: DataDir = None, json: Json = False) -> int:
    """Show a job's inputs, options, progress and result; with --json, all its fields."""
    found = open_store(data_dir).get(job)
    if json:
        print(json_format.dumps(asdict(found)))
        return 0
    print_table(_described(found))
    return 0


def _described(job: Job) -> Iterator[tuple[str, str]]:
    """Yield the lines of `jobs show`: name and value."""
    yield "job", str(job.id)
    yield "state", _state(job) + (f", by {job.worker}" if job.worker else "")
    for role, file in job.inputs.items():
        yield role.replace("_", " "), str(file["name"])
    options = {**Config(**job.config).overrides(), **_clip_options(job)}.items()
    yield "options", ", ".join(f"{name} {value}" for name, value in options) or "defaults"
    if job.alpha_changes:
        yield "α so far", " → ".join(f"{value:g}" for value in job.alphas)
    yield (
        "progress",
        f"{job.progress:.0%} in {job.elapsed_s:.0f} s" + (f", attempt {job.attempt}" if job.attempt > 1 else ""),
    )
    if job.frames is not None:
        yield "frames", "{} of {}".format(*job.frames)
    if job.result is not None and "losses" in job.result:
        yield "losses", ", ".join(f"{name} {job.result['losses'][name]:.4g}" for name in ("content", "style", "total"))
    if job.output is not None:
        yield "output", job.output
    if job.error is not None:
        yield "error", name_flags(job.error)
    yield "added", f"{datetime.fromtimestamp(job.created_s):%Y-%m-%d %H:%M:%S}"


def _clip_options(job: Job) -> dict[str, Any]:
    """Return the options of a clip that differ from their defaults, without the cuts, which are found."""
    video = VideoOptions(**job.video) if job.video is not None else VideoOptions()
    return video.model_dump(exclude_defaults=True, exclude={"cuts"}, mode="json")


def _state(job: Job) -> str:
    return "paused" if job.paused else job.state


@app.command
def cancel(job: Number, /, *, data_dir: DataDir = None) -> int:
    """Cancel a job: at once if it is queued, after its current step if it is running."""
    print(f"job {job} is {'being ' if open_store(data_dir).cancel(job).state == 'running' else ''}cancelled")
    return 0


@app.command
def pause(job: Number, /, *, data_dir: DataDir = None) -> int:
    """Pause a job until it is resumed. A running job stops after its current step."""
    open_store(data_dir).pause(job)
    print(f"job {job} is paused. Continue it with: impasto jobs resume {job}")
    return 0


@app.command
def resume(job: Number, /, *, data_dir: DataDir = None) -> int:
    """Continue a paused job exactly where it stopped."""
    open_store(data_dir).resume(job)
    print(f"job {job} continues")
    return 0


@app.command
def alpha(
    job: Number, value: Annotated[float, Parameter(help="New value of α.")], /, *, data_dir: DataDir = None
) -> int:
    """Change α of a job from its next step on. The picture's recipe records the change."""
    set_job_alpha(open_store(data_dir), job, value)
    print(f"job {job} continues with α = {value:g}")
    return 0


@app.command
def retry(job: Number, /, *, data_dir: DataDir = None) -> int:
    """Return a failed or cancelled job to the queue. It continues from its last checkpoint."""
    print(f"job {open_store(data_dir).retry(job).id} is queued")
    return 0


@app.command
def rm(job: Number, /, *, data_dir: DataDir = None) -> int:
    """Delete a job, and the files that no other job needs."""
    store = open_store(data_dir)
    store.remove(job)
    store.remove_unused_files()
    return 0


@app.command
def verify(*, data_dir: DataDir = None) -> int:
    """Check the queue and its files for damage, without changing anything."""
    defects = open_store(data_dir).verify()
    for line in defects or ["no damage found"]:
        print(line)
    return 1 if defects else 0


app.command(worker)
