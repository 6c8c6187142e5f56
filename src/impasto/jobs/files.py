"""Files by their content: kept once under their SHA-256, never changed, gone when nothing asks for them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from impasto.files import atomic_write
from impasto.jobs.errors import JobError

__all__ = ["Files"]

PIECE = 1 << 20


class Files:
    """A folder of files named by what they hold. Names that people gave them stay outside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, source: Path) -> str:
        """Keep a copy of a file; its SHA-256. Raises `JobError` if it cannot be read, `OutputError`: no room."""
        digest = hashlib.sha256()
        self.folder.mkdir(parents=True, exist_ok=True)
        if source.exists() and not source.is_file():  # a pipe would be waited for
            raise JobError(f"{source} is no file. Give the path of a file.")
        try:
            with source.open("rb") as file:
                while piece := file.read(PIECE):
                    digest.update(piece)
        except OSError as error:
            raise JobError(f"{source} cannot be read: {error.strerror}. Give the path of a file.") from error
        name = digest.hexdigest()
        if self.path(name).exists():
            os.utime(self.path(name))  # it is wanted again: see `remove_all_but`
        else:
            with atomic_write(self.path(name)) as temporary:
                shutil.copyfile(source, temporary)
                if _sha256(temporary) != name:
                    raise JobError(f"{source} changed while it was read. Give it again.")
        return name

    def path(self, sha256: str) -> Path:
        """Where a file is, or would be. Raises `JobError` for what is no hash: names never reach the disk."""
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise JobError(f"{sha256!r} is no SHA-256.")
        return self.folder / sha256

    def damaged(self, names: Collection[str]) -> Iterator[str]:
        """Those of `names` that are missing, or hold something else."""
        for name in sorted(names):
            path = self.path(name)
            if not path.is_file() or _sha256(path) != name:
                yield name

    def remove_all_but(self, names: Collection[str], *, older_s: float = 0.0) -> int:
        """Remove what nothing asks for; how many files. Those that came later than `older_s` ago stay."""
        count = 0
        for path in self.folder.glob("?" * 64):
            with contextlib.suppress(FileNotFoundError):
                if path.name not in names and path.stat().st_mtime <= time.time() - older_s:
                    path.unlink()
                    count += 1
        return count


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
