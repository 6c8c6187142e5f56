"""The only writer of files: each is written under a temporary name, and renamed when it is complete."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from impasto.errors import OutputError

__all__ = ["atomic_write", "require_distinct", "require_writable"]


def require_writable(path: Path) -> None:
    """Raise `OutputError` if a file cannot be written to `path`, before any work is done for it."""
    try:
        if path.is_dir():
            raise OutputError(f"{path} is a directory. Give the name of a file.")
        if not path.parent.is_dir():
            raise OutputError(f"{path} cannot be written: there is no directory {path.parent}. Create it first.")
        if path.exists() and not os.access(path, os.W_OK):
            raise OutputError(f"{path} is write-protected. Choose another name.")
        with tempfile.TemporaryFile(dir=path.parent):  # permissions are not enough: a disk may be read-only
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

    Raises `OutputError` for every error of the file system.
    """
    temporary = path.with_name(f".impasto-{secrets.token_hex(8)}{path.suffix.lower()}")
    try:
        temporary.touch(exist_ok=False)  # with the permissions that the user's umask allows
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        reason = error.strerror or error  # Pillow's errors have no strerror
        raise OutputError(
            f"{path} could not be written: {reason}. Free some space, or choose another place."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
