"""The memory and processors that this process may use, also in a container or in a group of a batch system."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

__all__ = ["available_cores", "default_threads", "free_memory_bytes"]

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")

V1_UNLIMITED = 1 << 60
"""Version 1 of control groups writes a number near the largest one for "no limit"."""


def free_memory_bytes() -> float:
    """Return the free memory of the machine, of the tightest group around this process, or of its own limit (ulimit).

    Cached files that nothing uses count as free: the system drops them when it needs their memory.
    """
    free = [float(psutil.virtual_memory().available), _free_address_space()]
    for folder in _group_folders("memory"):
        limits = [_read_number(folder / name) for name in ("memory.max", "memory.high", "memory.limit_in_bytes")]
        limit = min((limit for limit in limits if limit is not None and limit < V1_UNLIMITED), default=None)
        used = _read_number(folder / "memory.current")
        if used is None:
            used = _read_number(folder / "memory.usage_in_bytes")
        if limit is not None and used is not None:
            free.append(max(0.0, limit - (used - _cached_bytes(folder))))
    return min(free)


def _free_address_space() -> float:
    """Return the bytes that this process may still allocate by `ulimit -v`, which many batch systems set."""
    try:
        import resource
    except ImportError:  # Windows
        return math.inf
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return math.inf
    return max(0.0, float(limit - psutil.Process().memory_info().vms))


def available_cores() -> int:
    """Return how many processors this process may use: its affinity, or the tightest quota of its groups."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _group_folders("cpu"):
        quota, period = _read_numbers(folder / "cpu.max")[:2] or (None, None)
        if quota is None:
            quota, period = (_read_number(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if quota is not None and period and quota > 0:
            cores = min(cores, math.ceil(quota / period))
    return max(1, cores)


def default_threads() -> int:
    """Return the number of threads that torch has, or fewer if a quota allows no more."""
    return min(torch.get_num_threads(), available_cores())


def _group_folders(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups, from its own up to the root, of version 2 and of version 1.

    A container may see its own group as the root, and the path that it reads elsewhere; folders may be missing then.
    """
    try:
        lines = MEMBERSHIP.read_text().splitlines()
    except OSError:  # another system
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            roots = [CGROUPS, CGROUPS / "unified"]
        elif controller in controllers.split(","):
            roots = list(dict.fromkeys([CGROUPS / controllers, CGROUPS / controller]))
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for root in roots:
            for depth in range(len(parts), -1, -1):
                folder = root.joinpath(*parts[:depth])
                if folder.is_dir():
                    yield folder


def _cached_bytes(folder: Path) -> float:
    """Return the bytes of a group's inactive cached files, with those of the groups inside it."""
    try:
        rows = dict(line.split(maxsplit=1) for line in (folder / "memory.stat").read_text().splitlines())
        return float(rows.get("total_inactive_file", rows.get("inactive_file", 0)))
    except (OSError, ValueError):
        return 0.0


def _read_number(path: Path) -> float | None:
    return next(iter(_read_numbers(path)), None)


def _read_numbers(path: Path) -> list[float]:
    """Return the numbers in a file; none if it is missing, or says "max"."""
    try:
        return [float(word) for word in path.read_text().split()]
    except (OSError, ValueError):
        return []
