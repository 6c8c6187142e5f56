"""The number of workers that processors, graphics cards and memory allow."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from impasto.clips.api import build_clip
from impasto.clips.clip_run import ClipRun
from impasto.clips.frame_folder import FrameFolder
from impasto.config import Inputs, RunOptions
from impasto.config.roles import build_inputs
from impasto.distributed import Cluster
from impasto.engine.limits import available_cores, default_threads, free_memory_bytes
from impasto.errors import ConfigError, ImpastoError
from impasto.jobs.batch_plan import BatchItem
from impasto.run import Run
from impasto.samples.sources import resolve_picture

__all__ = [
    "Capacity",
    "distinct_runs",
    "max_workers",
    "plan_capacity",
    "plan_clips",
    "select_gpus",
    "threads_per_worker",
]

MAX_WORKERS = 1024


@dataclass(frozen=True)
class Capacity:
    """The number of workers, the threads of each, and the graphics cards that they share."""

    workers: int
    threads: int
    gpus: int = 0


def distinct_runs(
    items: Iterable[BatchItem], options: RunOptions, clips: Mapping[Path, ClipRun] | None = None
) -> list[Run]:
    """Return one run for each set of sources and options that memory and time depend on.

    Of a clip, it is that of its first frame; `clips` are those of `plan_clips`, if they are known. Items with
    unreadable inputs are skipped: they fail later, one by one. Raises `ConfigError` if no item is valid.
    """
    runs: dict[Any, Run] = {}
    refused: ConfigError | None = None
    for item in items:
        # Weights of terms and the seed change neither memory nor time.
        config = item.config.model_copy(update={"alpha": 1.0, "content_weight": 1.0, "seed": 0})
        key = config.model_dump_json(), tuple(item.sources)
        if key in runs:
            continue
        try:
            clip = (clips or {}).get(item.output)
            runs[key] = clip.first if clip is not None else _run_of(item, options)
        except ImpastoError as error:
            refused = error if isinstance(error, ConfigError) else refused
    if not runs and refused is not None:
        raise refused
    return list(runs.values())


def _run_of(item: BatchItem, options: RunOptions) -> Run:
    if item.video is not None:
        return _clip_of(item, options).first
    run = Run(_inputs_of(item), item.config, options)
    run.workload  # noqa: B018 - raises if a picture cannot be read
    run.close_inputs()
    return run


def _inputs_of(item: BatchItem) -> Inputs:
    weights = item.sources.get("weights")
    pictures = {role: resolve_picture(source, 64) for role, source in item.sources.items() if role != "weights"}
    return build_inputs(pictures, Path(weights) if weights else None)


def _clip_of(item: BatchItem, options: RunOptions) -> ClipRun:
    assert item.video is not None
    inputs = _inputs_of(item)
    given = {name: getattr(inputs, name) for name in ("content_masks", "style_masks", "protect", "weights")}
    folder = FrameFolder(item.output)  # nothing is painted
    return build_clip(
        item.sources["content"], inputs.styles, item.video, folder, config=item.config, **options.model_dump(), **given
    )


def plan_clips(items: Iterable[BatchItem], options: RunOptions) -> dict[Path, ClipRun]:
    """Return the run of each clip by its output, without those that cannot be read: they fail later, one by one."""
    clips: dict[Path, ClipRun] = {}
    for item in items:
        if item.video is not None:
            with contextlib.suppress(ImpastoError):
                clips[item.output] = _clip_of(item, options)
    return clips


def plan_capacity(runs: Sequence[Run], cluster: Cluster | None, workers: int = 0) -> Capacity:
    """Return the number of workers, chosen if `workers` is 0, and their threads.

    Raises `ConfigError`.
    """
    if not 0 <= workers <= MAX_WORKERS:
        raise ConfigError(f"--workers {workers} is out of range. Give 0 to {MAX_WORKERS}.")
    count = workers or max_workers(runs, cluster)
    return Capacity(count, threads_per_worker(count, cluster), cluster.gpus if cluster is not None else 0)


def select_gpus(cluster: Cluster, device: str | None) -> Cluster:
    """Return the cluster without graphics cards if `device` excludes them.

    Raises `ConfigError` if it has none.
    """
    if device == "cuda" and not cluster.gpus:
        raise ConfigError("device = 'cuda', but no machine of the cluster has a CUDA card. Remove --device.")
    return cluster if device in (None, "cuda") else replace(cluster, gpus=0)


def max_workers(runs: Sequence[Run], cluster: Cluster | None = None) -> int:
    """Return how many workers fit at once: one per card, or per processor within the memory."""
    uses_cards = cluster is None and any(run.plan.device == "cuda" for run in runs)
    cards = torch.cuda.device_count() if uses_cards else cluster.gpus if cluster is not None else 0
    if cards:
        return cards
    memory_each = max((run.estimate().memory_bytes for run in runs), default=0)
    cores = available_cores() if cluster is None else cluster.cpus
    memory = free_memory_bytes() if cluster is None else cluster.memory
    return max(1, min(cores, int(memory // memory_each) if memory_each else 1))


def threads_per_worker(count: int, cluster: Cluster | None) -> int:
    """Return the number of threads that each of `count` workers can have."""
    if cluster is None:
        return max(1, default_threads() // count)
    if cluster.gpus:  # a worker runs beside its card, which several may share
        return max(1, cluster.cpus_per_gpu // math.ceil(count / cluster.gpus))
    return max(1, min(cluster.cpus // count, cluster.min_cpus))
