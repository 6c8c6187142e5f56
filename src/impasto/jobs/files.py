"""Files named by their SHA-256: stored once, never changed, removed when no job needs them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from impasto.files import atomic_write
from impasto.jobs.model import JobError

__all__ = ["FileStore", "sha256_of"]


class FileStore:
    """A folder of files named by their SHA-256. Original names are never used as paths."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, source: Path) -> str:
        """Copy a file into the folder and return its SHA-256. Raises `JobError`, `OutputError`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if source.exists() and not source.is_file():  # reading a pipe would block
            raise JobError(f"{source} is not a regular file. Give the path of a file.")
        try:
            sha256 = sha256_of(source)
        except OSError as error:
            raise JobError(f"{source} cannot be read: {error.strerror}. Give the path of a file.") from error
        target = self.path(sha256)
        if target.exists():
            os.utime(target)  # protects it from `remove_except` until its job is in the queue
        else:
            with atomic_write(target) as temporary:
                shutil.copyfile(source, temporary)
                if sha256_of(temporary) != sha256:
                    raise JobError(f"{source} changed while it was read. Add it again.")
        return sha256

    def path(self, sha256: str) -> Path:
        """Return the path of a file, which need not exist.

        Raises `JobError` if this is not a SHA-256.
        """
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise JobError(f"{sha256!r} is not a SHA-256. Give 64 hexadecimal digits.")
        return self.folder / sha256

    def find_damaged(self, names: Collection[str]) -> Iterator[str]:
        """Yield those of `names` that are missing or have other content."""
        for name in sorted(names):
            path = self.path(name)
            if not path.is_file() or sha256_of(path) != name:
                yield name

    def remove_except(self, names: Collection[str], *, min_age_s: float = 0.0) -> int:
        """Remove all files but `names` and those younger than `min_age_s`. Return the number."""
        count = 0
        for path in self.folder.glob("?" * 64):
            with contextlib.suppress(FileNotFoundError):
                if path.name not in names and path.stat().st_mtime <= time.time() - min_age_s:
                    path.unlink()
                    count += 1
        return count


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
