"""Impasto without Linux-only functions, as on macOS and Windows."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from impasto.engine import timing
from impasto.engine.disk_store import DiskStore
from impasto.engine.limits import available_cores
from impasto.errors import ConfigError
from impasto.studio.server import listen

SITECUSTOMIZE = """
# Load libraries first: their Linux builds may need Linux functions.
import ctypes, mmap, multiprocessing, os, signal, socket, sqlite3, subprocess, sys, tempfile
import cyclopts, numpy, PIL.Image, platformdirs, psutil, pydantic.main, pyvips, rich.progress, safetensors.torch, torch

MISSING = {
    "darwin": {
        os: ["sched_getaffinity", "sched_setaffinity", "posix_fallocate", "posix_fadvise", "memfd_create"],
        socket: ["TCP_KEEPIDLE"],
    },
    "win32": {
        os: ["sched_getaffinity", "sched_setaffinity", "posix_fallocate", "posix_fadvise", "memfd_create", "fork",
             "getuid", "geteuid", "mkfifo", "killpg", "setsid", "uname", "sysconf", "fchmod", "statvfs", "getloadavg"],
        mmap: ["MADV_DONTNEED", "MAP_SHARED", "MAP_PRIVATE", "PROT_READ"],
        signal: ["SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGALRM", "pthread_sigmask", "sigwait"],
        socket: ["AF_UNIX", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"],
    },
}
system = os.environ["PRETENDED_SYSTEM"]
for module, names in MISSING[system].items():
    for name in names:
        vars(module).pop(name, None)
class NoLibC(ctypes.CDLL):
    def __init__(self, name, *arguments, **options):
        assert name is not None, "functions of glibc"
        super().__init__(name, *arguments, **options)


ctypes.CDLL = NoLibC
if system == "win32":
    for name in ("fcntl", "resource", "pwd", "grp", "termios", "pty", "impasto_kernels"):
        sys.modules[name] = None
sys.platform = system
"""
"""Python runs a module of this name at the start of every process, workers included."""


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_worker_paints_as_on_another_system(system: str, tmp_path: Path, photo: Path, painting: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    python_path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    env = os.environ | {"PYTHONPATH": python_path, "PRETENDED_SYSTEM": system, "IMPASTO_DATA": str(tmp_path / "data")}
    size = ("--size", "64", "--iterations", "2")
    arguments = ("batch", str(photo), "--styles", str(painting), "-o", "out", *size)
    result = subprocess.run(
        [sys.executable, "-m", "impasto", *arguments],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    (picture,) = (tmp_path / "out").glob("*.png")
    with Image.open(picture) as image:
        assert max(image.size) == 64


def test_cores_are_counted_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1


def test_disk_store_works_without_reserving_or_releasing_pages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    monkeypatch.delattr(mmap, "MADV_DONTNEED", raising=False)
    store = DiskStore(tmp_path)
    tensor = store.empty((3, 100, 100))
    tensor[:] = torch.arange(30_000.0).view(3, 100, 100)
    store.release(tensor)
    assert tensor[2, 99, 99] == 29_999


def test_convolutions_are_timed_by_a_precise_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks: list[object] = []

    def record(*arguments: object) -> float:
        clocks.append(arguments[-1])
        return 1.0

    monkeypatch.setattr(timing, "_fastest", record)
    monkeypatch.setattr(time, "get_clock_info", lambda _: SimpleNamespace(resolution=1 / 64))
    timing.choose_convolution("cpu")
    assert set(clocks) == {time.perf_counter}


@pytest.mark.parametrize("system", ["linux", "win32"])
def test_refuses_a_port_in_use(monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    with listen("127.0.0.1", 0) as first, monkeypatch.context() as patch:
        patch.setattr(sys, "platform", system)
        with pytest.raises(ConfigError, match="Give another --port"):
            listen("127.0.0.1", first.getsockname()[1])
