"""The only writer of files: each is written under a temporary name, and renamed when it is complete."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from impasto.errors import OutputError

__all__ = ["atomic_write", "require_distinct", "require_writable"]


def require_writable(path: Path) -> None:
    """Raise `OutputError` if a file cannot be written to `path`, before any work is done for it."""
    try:
        target = _follow_links(path)
        if target.is_dir():
            raise OutputError(f"{path} is a directory. Give the name of a file.")
        if not target.parent.is_dir():
            folder = target.parent if path.is_symlink() else path.parent
            raise OutputError(f"{path} cannot be written: there is no directory {folder}. Create it first.")
        if target.exists() and not os.access(target, os.W_OK):
            raise OutputError(f"{path} is write-protected. Choose another name.")
        with tempfile.TemporaryFile(dir=target.parent):  # permissions are not enough: a disk may be read-only
            pass
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}. Choose another place.") from error


def require_distinct(outputs: Sequence[Path], inputs: Iterable[Any] = ()) -> None:
    """Raise `OutputError` if two outputs are the same file, or an output would replace an input.

    Inputs that are not paths, such as arrays, are skipped.
    """
    input_paths = [Path(source) for source in inputs if isinstance(source, (str, Path))]
    for number, output in enumerate(outputs):
        for other in (*outputs[:number], *input_paths):
            if output.resolve() == other.resolve() or (output.exists() and other.exists() and output.samefile(other)):
                raise OutputError(f"{output} is an input of this run, or given for two outputs. Choose another name.")


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path` that replaces it on success; on failure `path` is unchanged.

    A symbolic link stays, and the file that it names is replaced. The new file has the mode and, where that is
    allowed, the owner of the old one. Raises `OutputError` for every error of the file system.
    """
    temporary = None
    try:
        target = _follow_links(path)
        temporary = target.with_name(f".impasto-{secrets.token_hex(8)}{path.suffix.lower()}")
        _create_like(target, temporary)
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        reason = error.strerror or error  # Pillow's errors have no strerror
        raise OutputError(
            f"{path} could not be written: {reason}. Free some space, or choose another place."
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _follow_links(path: Path) -> Path:
    """Return the file that a path names. It need not exist. Raises `OSError`, or `OutputError` for a device."""
    try:
        target = path.resolve()
    except RuntimeError as error:  # a loop of links, before Python 3.13
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise OutputError(f"{path} is a device or a pipe, which would be replaced. Give the name of a file.")
    return target


def _create_like(model: Path, path: Path) -> None:
    """Create an empty file with the mode and owner of another. If there is no other, the user's umask decides."""
    try:
        status = model.stat()
    except FileNotFoundError:
        path.touch(exist_ok=False)
        return
    path.touch(mode=0o600, exist_ok=False)
    if hasattr(os, "chown"):
        with contextlib.suppress(OSError):  # only an administrator can give a file to another user
            os.chown(path, status.st_uid, status.st_gid)
    path.chmod(stat.S_IMODE(status.st_mode))
