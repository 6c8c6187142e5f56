"""Choices that were measured earlier, in files, so that only the first run on a machine takes the time to measure.

Each file is for one machine: its processor or card, versions, threads, and the code that was timed. Where a file cannot
be read or written, the choice is measured again: this cache never stops a run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import TypeAdapter

from impasto import __version__
from impasto.engine.kernels import describe_kernels
from impasto.errors import OutputError
from impasto.files import atomic_write, try_lock, user_cache_folder

__all__ = ["describe_machine", "forget", "look_up", "plan_folder", "recall"]

logger = logging.getLogger("impasto")

Choice = TypeVar("Choice")
Key = dict[str, str | int | None]

CPUINFO = Path("/proc/cpuinfo")
CPU_FIELDS = (
    "vendor_id", "cpu family", "model", "model name", "stepping", "cache size", "flags",
    "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features",
)  # fmt: skip
"""The fields that two equal processors have in common, on x86 and on ARM."""

LOCK_S = 5.0
"""Maximum wait for another process that measures: it takes about a second."""


def recall(measure: Callable[[], Choice], kind: TypeAdapter[Choice], **key: str | int | None) -> Choice:
    """Return the choice in the file of this key, or measure and write it. `kind` checks what is read.

    Processes that start at once measure one after another, and all take the choice of the first.
    """
    path = _path(key)
    found = _read(path, kind, key)
    if found is not None:
        return found
    with _lock(path.parent):
        found = _read(path, kind, key)
        if found is not None:
            return found
        choice = measure()
        _write(path, kind, key, choice)
    return choice


def look_up(kind: TypeAdapter[Choice], **key: str | int | None) -> Choice | None:
    """Return the choice in the file of this key, or None if it was not measured yet."""
    return _read(_path(key), kind, key)


def forget() -> int:
    """Remove all files, so that the next run measures again. Return their number. Raises `OutputError`."""
    removed = 0
    for path in plan_folder().glob("*.json"):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{path} cannot be removed: {error.strerror}. Remove it yourself.") from error
        removed += 1
    return removed


def plan_folder() -> Path:
    """Return the folder of the files."""
    return user_cache_folder() / "plans"


@cache
def describe_machine(device: str) -> Key:
    """Return what decides how fast a convolution is, besides threads: hardware, versions and code."""
    # A variable may forbid instructions that the processor has.
    limits = [os.environ.get(f"{name}_MAX_CPU_ISA", "") for name in ("ONEDNN", "DNNL")]
    return {
        "device": device,
        "hardware": _card() if device == "cuda" else _processor(),
        "instructions": " ".join([torch.backends.cpu.get_cpu_capability(), *limits]).strip(),
        "torch": torch.__version__,
        "impasto": __version__,
        "engine": _engine_sha256(),
        "kernels": describe_kernels() if device == "cpu" else None,
    }


def _card() -> str:
    return f"{torch.cuda.get_device_name()} {torch.cuda.get_device_capability()}"


def _processor() -> str:
    """Return the name of the processor, with a hash of its features where the system lists them."""
    fields: dict[str, str] = {}
    try:
        with CPUINFO.open() as lines:
            for line in lines:
                if not line.strip():  # the end of the first of many
                    break
                name, _, value = line.partition(":")
                fields[name.strip()] = value.strip()
    except (OSError, ValueError):  # another system
        return f"{platform.processor()} {platform.machine()}"
    known = {name: fields[name] for name in CPU_FIELDS if name in fields}
    digest = hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]
    return f"{fields.get('model name', platform.machine())} {digest}"


def _engine_sha256() -> str:
    """Return the identity of the code that is timed."""
    digest = hashlib.sha256()
    with contextlib.suppress(OSError):
        for path in sorted(Path(__file__).parent.glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _path(key: Key) -> Path:
    return plan_folder() / f"{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]}.json"


def _read(path: Path, kind: TypeAdapter[Choice], key: Key) -> Choice | None:
    """Return the choice in a file, or None if it is missing, damaged or of another key."""
    try:
        entry: Any = json.loads(path.read_bytes())
        if entry["key"] != key:
            return None
        return kind.validate_json(json.dumps(entry["choice"]), strict=True)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        logger.info("Plan: %s cannot be used and is measured again: %s", path, error)
        return None


def _write(path: Path, kind: TypeAdapter[Choice], key: Key, choice: Choice) -> None:
    entry = {"key": key, "choice": kind.dump_python(choice, mode="json")}
    try:
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(entry, indent=1))
    except (OSError, OutputError) as error:
        logger.info("Plan: not kept for the next run: %s", error)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Wait until no other process measures, where locks work, so that none slows down the timing of another."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context((folder / "lock").open("w"))
            end = time.monotonic() + LOCK_S
            while not try_lock(file) and time.monotonic() < end:
                time.sleep(0.02)
        yield
