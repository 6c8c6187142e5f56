"""Settings of a process that paints: threads that wait without work, memory that is kept, and large pages."""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["VARIABLES", "keep_freed_memory", "prepare_process", "set_environment"]

VARIABLES = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "THP_MEM_ALLOC_ENABLE"
"""What `set_environment` sets."""

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h of glibc


def prepare_process() -> bool:
    """Set up this process for painting, as the command line does, before torch is loaded.

    On a busy machine a picture takes down to a fifth of the time, at 1024 px and above also on an idle one up to a
    quarter less. Environment variables that are set already stay as they are. Return False if torch is loaded: then
    only freed memory is kept.
    """
    keep_freed_memory()
    set_environment()
    return "torch" not in sys.modules


def set_environment() -> None:
    """Choose how the threads of torch wait, and the pages of its memory. Torch reads both when it is loaded."""
    # Threads that spin while waiting slow a busy machine down up to five times (measured at a load of 3 on two
    # cores). Threads that never spin lose a fifth of the time at small sizes on an idle machine. Spinning for ten
    # microseconds avoids both.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # Large tensors on pages of 2 MB in place of 4 KB, where the system has them: a step at 1024 px takes a tenth less.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory in the process: every step frees large areas and allocates the same again.

    Return True if it does. Measured: a float32 step at 512 px takes about 15 % less time (benchmarks/step.py). The
    setting is for the whole process, so a program decides on it, not a library.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
