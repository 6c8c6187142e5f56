"""The only writer of files: each is written under a temporary name, and renamed when it is complete."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import platformdirs

from impasto.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "ScratchFolder",
    "atomic_folder",
    "atomic_write",
    "remove_abandoned_folders",
    "require_distinct",
    "require_room",
    "require_writable",
    "try_lock",
    "user_cache_folder",
]


PREFIX, LOCK_NAME = "impasto-", ".impasto-lock"

NEW_S = 10.0
"""Age below which a scratch folder is never taken for abandoned."""


def user_cache_folder() -> Path:
    """Return `$IMPASTO_CACHE`, or the system's cache folder of this user. It need not exist."""
    chosen = os.environ.get("IMPASTO_CACHE")
    try:
        return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("impasto")
    except RuntimeError:  # no home folder: a temporary folder is better than none
        return Path(tempfile.gettempdir()) / "impasto"


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


def require_room(folder: Path, size: float, needs: str, advice: str) -> None:
    """Raise `OutputError` if `size` bytes do not fit on the disk of a folder, which need not exist.

    `needs` begins the message, as "This run needs" does.
    """
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < size:
        raise OutputError(f"{needs} {_describe(size)} of disk, but only {_describe(free)} are free. {advice}")


def _describe(size: float) -> str:
    factor, unit = next((each for each in ((1e9, "GB"), (1e6, "MB")) if size >= each[0] / 10), (1e3, "kB"))
    return f"{size / factor:.1f} {unit}"


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


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path` that replaces it on success; on failure `path` is unchanged.

    Raises `OutputError` for every error of the file system.
    """
    target = path.resolve()
    temporary, older = (target.with_name(f".impasto-{secrets.token_hex(8)}") for _ in range(2))
    try:
        temporary.mkdir()
        yield temporary
        if target.exists():
            target.rename(older)
        temporary.rename(target)
    except OutputError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path} could not be written: {reason}. Choose another place.") from error
    finally:
        if older.exists() and not target.exists():
            older.rename(target)
        for leftover in (temporary, older):
            shutil.rmtree(leftover, ignore_errors=True)


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


class ScratchFolder:
    """A temporary folder, readable by this user only. `cleanup` removes it, or the end of a `with` block.

    If the process is killed, the next call of `remove_abandoned_folders` removes it: a lock file in it is locked as
    long as the process lives.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent, ignore_cleanup_errors=True)
        self.path = Path(self._folder.name)
        self._lock = (self.path / LOCK_NAME).open("w")
        try_lock(self._lock)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.cleanup()

    def cleanup(self) -> None:
        """Remove the folder."""
        self._lock.close()
        self._folder.cleanup()


def remove_abandoned_folders(parent: Path | None = None) -> None:
    """Remove the scratch folders of processes that were killed, in `parent` or in the system's temporary folder."""
    for folder in (parent or Path(tempfile.gettempdir())).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or removed by another process
            lock = folder / LOCK_NAME
            if time.time() - lock.stat().st_mtime < NEW_S:  # perhaps not locked yet
                continue
            with lock.open("r+") as file:
                is_abandoned = try_lock(file)
            if is_abandoned:
                shutil.rmtree(folder)


def try_lock(file: IO[str]) -> bool:
    """Lock a file until it is closed. Return False if another process has locked it."""
    if fcntl is None:  # on Windows a file that is open cannot be removed, which is as good
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
