"""Who paints a batch, and how many at once: as cores, graphics cards and memory allow, here or on a cluster."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import psutil
import torch

from impasto.config import RunOptions
from impasto.config.roles import build_inputs
from impasto.distributed import Cluster
from impasto.errors import ConfigError, ImpastoError
from impasto.jobs import JobStore
from impasto.jobs.batch_plan import BatchItem
from impasto.jobs.executors.local import LocalExecutor
from impasto.run import Run
from impasto.samples.sources import resolve_picture

__all__ = ["Executor", "distinct_runs", "fitting_workers", "start_executor", "threads_each", "with_cards"]


class Executor(Protocol):
    """Those who paint the jobs of a queue; `error` says why there are none any more, `absent` that none came yet."""

    @property
    def error(self) -> ImpastoError | None: ...

    absent: bool


def distinct_runs(wanted: Iterable[BatchItem], run: RunOptions) -> list[Run]:
    """A session for each size of work, to tell what it takes; what cannot be read will fail by itself.

    Raises `ConfigError` for options that cannot be together in any of them.
    """
    found: dict[Any, Run] = {}
    refused: ConfigError | None = None
    for one in wanted:
        alike = one.config.model_copy(update={"alpha": 1.0, "content_weight": 1.0, "seed": 0}).model_dump_json()
        key = alike, tuple(one.sources)
        if key in found:
            continue
        pictures = {role: place for role, place in one.sources.items() if role != "weights"}
        weights = one.sources.get("weights")
        try:
            inputs = build_inputs(
                {role: resolve_picture(place, 64) for role, place in pictures.items()},
                Path(weights) if weights else None,
            )
            ready = Run(inputs, one.config, run)
            ready.workload  # noqa: B018 - whether they can be read
        except ImpastoError as error:
            refused = error if isinstance(error, ConfigError) else refused
            continue
        found[key] = ready
    if not found and refused is not None:
        raise refused
    return list(found.values())


def with_cards(cluster: Cluster, device: str | None) -> Cluster:
    """A cluster with those of its graphics cards that are asked for. Raises `ConfigError` where there are none."""
    if device == "cuda" and not cluster.gpus:
        raise ConfigError("device = 'cuda', and no machine of the cluster has such a card. Leave --device out.")
    return cluster if device in (None, "cuda") else replace(cluster, gpus=0)


def fitting_workers(sessions: list[Run], cluster: Cluster | None = None) -> int:
    """How many paint at once: as many as cores, or graphics cards, and no more than memory holds."""
    if cluster is not None and cluster.gpus:
        return cluster.gpus
    need = max((one.estimate().memory for one in sessions), default=0)
    cores = available_cores() if cluster is None else cluster.cpus
    room = psutil.virtual_memory().available if cluster is None else cluster.memory
    return max(1, min(cores, int(room // need) if need else 1))


def available_cores() -> int:
    """Return the number of cores that this process may use; on macOS and Windows, all of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_each(count: int, cluster: Cluster | None) -> int:
    """Processors that each of so many has for itself."""
    if cluster is None:
        return max(1, torch.get_num_threads() // count)
    if cluster.gpus:  # whoever has a card, or shares it, is where that is
        return max(1, cluster.cpus_per_card // math.ceil(count / cluster.gpus))
    return max(1, min(cluster.cpus // count, cluster.least_cpus))


def start_executor(
    store: JobStore, count: int, run: RunOptions, networks: Collection[str], cluster: Cluster | None
) -> AbstractContextManager[Executor]:
    """Who paints, while this is open."""
    if cluster is None or not count:
        return LocalExecutor(store, count)
    from impasto.jobs.executors.ray import RayExecutor

    return RayExecutor(store, cluster, count, threads=run.threads or 1, networks=networks)
