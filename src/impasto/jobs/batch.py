"""Batches: many contents in many styles, through the queue, by several workers."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from impasto.clips.clip_run import ClipRun
from impasto.clips.container import INSTALL, find_missing_libraries
from impasto.config import Config, RunOptions
from impasto.config.roles import assign_roles, kind_of
from impasto.distributed import LOCAL, Driver
from impasto.errors import ConfigError, ImpastoError, OutputError, VideoError
from impasto.images import load_profile, require_output
from impasto.jobs.batch_jobs import BatchJobs
from impasto.jobs.batch_plan import (
    BatchItem,
    Pair,
    check_shared_inputs,
    configure_items,
    expand,
    name_items,
    read_pairs,
)
from impasto.jobs.batch_report import BatchEstimate, BatchReport, write_index
from impasto.jobs.capacity import Capacity, distinct_runs, plan_capacity, plan_clips, select_gpus
from impasto.jobs.clips import require_clip_job
from impasto.jobs.executors import Executor
from impasto.jobs.executors.local import LocalExecutor
from impasto.jobs.model import Job
from impasto.jobs.store import JobStore
from impasto.run import Run

if TYPE_CHECKING:
    from impasto.config.option_types import BatchOptions

__all__ = ["BatchReport", "batch", "estimate_batch", "paint_batch", "plan_batch"]

logger = logging.getLogger("impasto")

POLL_S = 0.5
NO_WORKER_WARNING_S = 60.0
"""Interval between warnings that a cluster has no room for a worker."""

DRIVER_MODULE = "impasto.jobs.executors.ray_scheduler"

QUEUE_FOLDER = ".impasto"
"""Name of the queue's folder, in the folder of the pictures."""

BatchObserver = Callable[[Sequence[Job], int, float], None]
"""A function that is called with the jobs, the number of existing pictures, and the seconds so far."""


def batch(
    contents: Sequence[str | Path] | str | Path = (),
    styles: Sequence[str | Path] | str | Path = (),
    output: str | Path = ".",
    *,
    config: Config | None = None,
    pairs: str | Path | None = None,
    sweep: Mapping[str, Sequence[Any]] | None = None,
    content_masks: Sequence[str | Path] = (),
    style_masks: Sequence[str | Path] = (),
    protect: str | Path | None = None,
    weights: str | Path | None = None,
    names: str = "",
    workers: int = 0,
    on: str = LOCAL,
    retry: bool = False,
    data_dir: str | Path | None = None,
    **options: Unpack[BatchOptions],
) -> BatchReport:
    """Paint every content in every style, into the folder `output`.

    A second call paints only what is missing. `contents` and `styles` are folders, files and patterns; `pairs` is a
    CSV file in their place. Contents may be clips. `options` are fields of `Config`, `RunOptions` and `VideoOptions`.
    Raises subclasses of `ImpastoError`; a picture that fails does not end the batch.
    """
    run_options = RunOptions(**{name: value for name, value in options.items() if name in RunOptions.model_fields})
    given = config.model_dump() if config is not None else {}
    given |= {name: value for name, value in options.items() if name not in RunOptions.model_fields}
    given |= assign_roles("content_mask", content_masks) | assign_roles("style_mask", style_masks)
    given |= {role: source for role, source in (("protect", protect), ("weights", weights)) if source is not None}
    table = Path(pairs) if pairs is not None else None
    items = plan_batch(
        _as_list(contents), _as_list(styles), Path(output), pairs=table, options=given, sweep=sweep, names=names
    )
    queue = Path(data_dir) if data_dir is not None else None
    return paint_batch(items, Path(output), run_options, workers=workers, on=on, retry=retry, data_dir=queue)


def _as_list(places: Sequence[str | Path] | str | Path) -> list[str]:
    return [str(place) for place in ((places,) if isinstance(places, (str, Path)) else places)]


def plan_batch(
    contents: Sequence[str],
    styles: Sequence[str],
    output: Path,
    *,
    pairs: Path | None = None,
    options: Mapping[str, Any] | None = None,
    sweep: Mapping[str, Sequence[Any]] | None = None,
    names: str = "",
) -> list[BatchItem]:
    """Return the pictures of a batch. Raises `ConfigError`, `InputError`."""
    sweep = sweep or {}
    if (pairs is None) == (not styles):
        raise ConfigError("Give either --styles, for every pair, or --pairs FILE.csv.")
    if empty := [name for name, values in sweep.items() if not values]:
        raise ConfigError(f"--sweep {empty[0]}= has no values. Write it as alpha=1,5,25.")
    if pairs is not None and contents:
        raise ConfigError("--pairs names the contents itself. Remove the other contents.")
    if pairs is None and not contents:
        raise ConfigError("There are no contents. Give folders, files or patterns first.")
    chosen = read_pairs(pairs) if pairs is not None else _all_pairs(contents, styles)
    return name_items(configure_items(chosen, options or {}, sweep), output, names, list(sweep))


def _all_pairs(contents: Sequence[str], styles: Sequence[str]) -> list[Pair]:
    return [
        (content, style, {})
        for content in expand(contents, "contents", clips=True)
        for style in expand(styles, "styles")
    ]


def estimate_batch(
    items: Sequence[BatchItem], output: Path, options: RunOptions, *, workers: int = 0, on: str = LOCAL
) -> BatchEstimate:
    """Estimate what a batch will take, without decoding a picture, and of a clip only a frame.

    Raises what `paint_batch` raises.
    """
    missing = _check_items(items, output, options)
    failed = {item.output: f"there is no file {source}" for item in missing if (source := item.missing_source)}
    ready = [item for item in missing if item.output not in failed]
    clips = plan_clips(ready, _planning_options(options, on))
    with _plan_workers(missing, options, workers, on, clips) as (runs, capacity, _):
        each_s = sum(run.estimate().seconds for run in runs) / max(1, len(runs))
    pictures = sum(item.video is None for item in ready)
    seconds = each_s * pictures + sum(clip.estimate_seconds() for clip in clips.values())
    return BatchEstimate(ready, failed, capacity.workers, seconds / capacity.workers)


def paint_batch(
    items: Sequence[BatchItem],
    output: Path,
    options: RunOptions,
    *,
    workers: int = 0,
    on: str = LOCAL,
    retry: bool = False,
    data_dir: Path | None = None,
    observer: BatchObserver = lambda *_: None,
    stop: Callable[[], bool] = lambda: False,
    pull_weights: Callable[[str], None] = lambda _: None,
) -> BatchReport:
    """Paint the missing pictures and write an index page. Stop early if `stop` returns True.

    `pull_weights` is called for every network that is used.
    """
    missing = _check_items(items, output, options)
    started_s = time.monotonic()
    with _plan_workers(missing, options, workers, on) as (_, capacity, driver):
        options = options.model_copy(update={"threads": capacity.threads})
        networks: set[str] = {item.config.network for item in items if "weights" not in item.sources}
        for network in networks:
            pull_weights(network)
        jobs = BatchJobs(JobStore(data_dir or output / QUEUE_FOLDER), items, options)
        jobs.enqueue(retry=retry)
        error: ImpastoError | None = None
        if jobs.jobs:
            capacity = replace(capacity, workers=min(capacity.workers, jobs.store.count_active()))
            with _open_executor(jobs.store, capacity, networks, driver) as executor:
                error = _follow(jobs, executor, observer, stop)
            jobs.refresh()
    report = replace(jobs.report, seconds=time.monotonic() - started_s, error=error)
    write_index(report, output)
    return report


def _check_items(items: Sequence[BatchItem], output: Path, options: RunOptions) -> list[BatchItem]:
    """Check inputs and outputs, create the folder, and return the items without a picture."""
    missing = [item for item in items if not item.output.exists()]
    if missing:
        check_shared_inputs(items)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{output} cannot be created: {error.strerror}. Choose another -o.") from error
    profile = load_profile(options.profile)
    _require_clip_libraries(items)
    for item in items:
        if item.video is None:
            require_output(item.output, bits=options.bits, profile=profile)
        else:
            style_count = sum(kind_of(role) == "style" for role in item.sources)
            require_clip_job(item.config, options, item.video, style_count, str(item.output))
    return missing


def _require_clip_libraries(items: Sequence[BatchItem]) -> None:
    """Raise `VideoError` if there are clips, but not what they need."""
    clip = next((item for item in items if item.video is not None), None)
    if clip is not None and (missing := find_missing_libraries()):
        raise VideoError(
            f"{clip.sources['content']} is to be painted as a clip, which needs {' and '.join(missing)}. {INSTALL} Or "
            "leave clips out: give only pictures, with a pattern such as 'photos/*.jpg'."
        )


@contextlib.contextmanager
def _plan_workers(
    missing: Sequence[BatchItem],
    options: RunOptions,
    workers: int,
    on: str,
    clips: Mapping[Path, ClipRun] | None = None,
) -> Iterator[tuple[list[Run], Capacity, Driver | None]]:
    """Yield runs like the missing ones, the number of workers for these, and the driver of a cluster.

    Raises `ClusterError`, `ConfigError`.
    """
    runs = distinct_runs(missing, _planning_options(options, on), clips)
    with contextlib.nullcontext() if on == LOCAL or not missing else Driver(DRIVER_MODULE, on) as driver:
        cluster = select_gpus(driver.cluster, options.device) if driver is not None else None
        yield runs, plan_capacity(runs, cluster, workers), driver


def _planning_options(options: RunOptions, on: str) -> RunOptions:
    # This machine, which plans, may lack the cluster's devices.
    return options if on == LOCAL else options.model_copy(update={"device": None})


def _open_executor(store: JobStore, capacity: Capacity, networks: set[str], driver: Driver | None) -> Executor:
    if driver is None:
        return LocalExecutor(store, capacity.workers)
    from impasto.jobs.executors.ray import RayExecutor  # needs the optional Ray

    return RayExecutor(store, driver, capacity.workers, threads=capacity.threads, gpus=capacity.gpus, networks=networks)


def _follow(
    jobs: BatchJobs, executor: Executor, observer: BatchObserver, stop: Callable[[], bool]
) -> ImpastoError | None:
    """Wait until all jobs have ended, or `stop` returns True.

    Return the executor's error, if any.
    """
    started_s = warned_s = time.monotonic()
    while not stop():
        current = jobs.refresh()
        observer(current, len(jobs.report.existing), time.monotonic() - started_s)
        if all(job.has_ended for job in current):
            return None
        try:
            executor.check()
        except ImpastoError as error:
            return error
        if not executor.workers and time.monotonic() - warned_s >= NO_WORKER_WARNING_S:
            warned_s = time.monotonic()
            logger.warning("no worker has started yet. If a cluster has no room for one, `ray status` shows its load")
        time.sleep(POLL_S)
    return None
