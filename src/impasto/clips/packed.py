"""Numbered frames as one file, for the queue, whose inputs are files: an uncompressed tar archive."""

from __future__ import annotations

import contextlib
import tarfile
from collections.abc import Iterator
from pathlib import Path

from impasto.clips.picture_frames import find_pictures
from impasto.files import ScratchFolder

__all__ = ["is_packed", "pack_frames", "unpack_frames", "unpacked"]

MAGIC, MAGIC_OFFSET = b"ustar", 257


def pack_frames(source: Path, target: Path) -> None:
    """Write the frames of a folder or a pattern as an archive. The same frames become the same bytes.

    Raises `OSError`, and `VideoError` if there are no frames.
    """
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in find_pictures(source) or ():
            entry = tarfile.TarInfo(path.name)
            entry.size = path.stat().st_size
            with path.open("rb") as file:
                archive.addfile(entry, file)


def is_packed(path: Path) -> bool:
    """Return True for a file that `pack_frames` wrote. No video and no picture begins like that."""
    with path.open("rb") as file:
        file.seek(MAGIC_OFFSET)
        return file.read(len(MAGIC)) == MAGIC


def unpack_frames(archive: Path, folder: Path) -> None:
    """Write the frames of an archive into a folder that exists."""
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")


@contextlib.contextmanager
def unpacked(path: Path, parent: Path) -> Iterator[Path]:
    """Yield the path of a stored clip: the file itself, or a temporary folder in `parent` with its frames."""
    if not is_packed(path):
        yield path
        return
    with ScratchFolder(parent) as folder:
        unpack_frames(path, folder)
        yield folder
