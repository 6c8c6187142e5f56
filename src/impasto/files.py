"""Putting a file in its place: it is written under another name, and renamed when it is whole."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from impasto.errors import OutputError

__all__ = ["atomic_write", "require_distinct", "require_writable"]


def require_writable(path: Path) -> None:
    """Raise `OutputError` now if a file could not be written there later: no folder, no permission."""
    try:
        if path.is_dir():
            raise OutputError(f"{path} is a directory. Give the name of a file.")
        if not path.parent.is_dir():
            raise OutputError(f"{path}: there is no directory {path.parent}. Make it first.")
        if path.exists() and not os.access(path, os.W_OK):
            raise OutputError(f"{path} is write-protected. Choose another name.")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}. Choose another place.") from error


def require_distinct(written: Sequence[Path], read: Iterable[Any] = ()) -> None:
    """Raise `OutputError` if something would be written twice in one place, or over what is `read`."""
    known = [place for place in read if isinstance(place, (str, Path))]
    for number, place in enumerate(written):
        for other in (*written[:number], *map(Path, known)):
            if place.resolve() == other.resolve() or (place.exists() and other.exists() and place.samefile(other)):
                raise OutputError(f"{place} is an input of this run, or asked for twice. Choose another name.")


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A place to write to, which becomes `path` when all went well; until then, what was there stays.

    Raises `OutputError` where the system does.
    """
    temporary = None
    try:
        handle, name = tempfile.mkstemp(prefix=".impasto-", suffix=path.suffix.lower(), dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"{path} could not be written: {error.strerror}. Free some space, or choose another place."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
