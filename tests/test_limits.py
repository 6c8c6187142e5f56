"""Memory and CPU limits of control groups, read from files as Linux writes them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from impasto.engine import limits, planning
from impasto.engine.limits import available_cores, free_memory_bytes

GB = 10**9


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Simulate a machine with 64 GB, 64 CPUs and no control groups."""
    monkeypatch.setattr(limits, "CGROUPS", tmp_path)
    monkeypatch.setattr(limits, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 64 * GB}))
    monkeypatch.setattr(limits, "_free_address_space", lambda: float("inf"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
    return tmp_path


def write_group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_machine_is_the_limit_without_groups(groups: Path) -> None:
    assert (free_memory_bytes(), available_cores()) == (64 * GB, 64)


@pytest.mark.parametrize("membership", ["0::/job/step", "0::/../job/step", "0::/not/visible/here"])
def test_tightest_group_of_version_2_is_the_limit(groups: Path, membership: str) -> None:
    (groups / "membership").write_text(f"{membership}\n")
    write_group(groups, memory__max="max", memory__current=50 * GB, cpu__max="max 100000")
    write_group(groups / "job", memory__max=4 * GB, memory__current=3 * GB, cpu__max="250000 100000")
    write_group(groups / "job" / "step", memory__max="max", memory__current=GB, cpu__max="800000 100000")
    assert (free_memory_bytes(), available_cores()) == ((64 * GB, 64) if "visible" in membership else (GB, 3))


def test_memory_high_counts_as_a_limit(groups: Path) -> None:
    (groups / "membership").write_text("0::/\n")
    write_group(groups, memory__max=8 * GB, memory__high=5 * GB, memory__current=GB)
    assert free_memory_bytes() == 4 * GB


def test_limits_of_version_1(groups: Path) -> None:
    (groups / "membership").write_text("5:cpu,cpuacct:/slurm/job\n4:memory:/slurm/job\n0::/\n")
    memory, cpu = groups / "memory" / "slurm", groups / "cpu,cpuacct" / "slurm" / "job"
    write_group(memory, memory__limit_in_bytes=6 * GB, memory__usage_in_bytes=2 * GB)
    write_group(memory / "job", memory__limit_in_bytes=9223372036854771712, memory__usage_in_bytes=2 * GB)
    write_group(cpu, cpu__cfs_quota_us=100000, cpu__cfs_period_us=100000)
    assert (free_memory_bytes(), available_cores()) == (4 * GB, 1)
    write_group(cpu, cpu__cfs_quota_us=-1)
    assert available_cores() == 64


@pytest.mark.parametrize("row", ["inactive_file", "total_inactive_file"])
def test_cached_files_are_free_memory(groups: Path, row: str) -> None:
    (groups / "membership").write_text("0::/\n")
    stat = f"anon 1000\nfile {2 * GB}\n{row} {2 * GB}\nactive_file 0"
    write_group(groups, memory__max=3 * GB, memory__current=3 * GB - 1, memory__stat=stat)
    assert free_memory_bytes() == pytest.approx(2 * GB, abs=10)


def test_group_above_its_limit_has_nothing_free(groups: Path) -> None:
    (groups / "membership").write_text("0::/\n")
    write_group(groups, memory__max=GB, memory__current=2 * GB)
    assert free_memory_bytes() == 0


def test_gpu_has_its_own_budget(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (10 * GB, 24 * GB))
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 20 * GB)
    budgets = [planning.available_bytes(device) for device in ("cuda", "mps", "cpu")]
    assert budgets == pytest.approx([8 * GB, 16 * GB, 0.8 * 64 * GB])


def test_ulimit_of_the_process_is_a_limit() -> None:
    code = "import resource; from impasto.engine.limits import free_memory_bytes as free; a = free(); " + (
        "resource.setrlimit(resource.RLIMIT_AS, (100 * 10**9, resource.RLIM_INFINITY)); print(a, free()); "
        "import psutil; used = psutil.Process().memory_info().vms; "
        "resource.setrlimit(resource.RLIMIT_AS, (used + 10**9, resource.RLIM_INFINITY)); print(free())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    before, with_room, tight = map(float, out.split())
    assert with_room == pytest.approx(min(before, 100e9), rel=0.2)
    assert 0.9e9 < tight <= 1e9
