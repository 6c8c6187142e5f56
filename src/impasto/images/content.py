"""The bytes of pictures: from files, memory, streams, PIL images and arrays.

Laws: a file is opened once; one that is written to before it was decoded is refused. libvips gets open files, never
their names: it caches by name, parses options in brackets, and expects UTF-8.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import pyvips

from impasto.errors import ImageError
from impasto.images.exr import read_exr
from impasto.images.formats import FORMATS, HEAD_BYTES, WITHOUT_LIBVIPS, require_no_camera_raw, require_readable
from impasto.images.memory_images import Encoded, encode_file, encode_pil, is_lab_tiff, to_float_array

__all__ = [
    "NOTE_FIELD",
    "PEAK_FIELD",
    "CheckSize",
    "Content",
    "FileContent",
    "MemoryContent",
    "changed_error",
    "file_errors",
    "read_array",
    "read_bytes",
    "read_pil",
    "read_stream",
]

NOTE_FIELD, PEAK_FIELD = "png-comment-0-impasto", "impasto-peak"
"""Fields of a libvips image: the recipe, and the peak of an OpenEXR's tone curve."""

MAX_STREAM_BYTES = 500 * 10**6
"""Maximum size of a picture that comes through a pipe, and so is kept in memory."""

CheckSize = Callable[[int, int], None]
"""Gets height and width before pixels are decoded, and raises `ImageError` if they are too large."""


class Content(Protocol):
    """A picture's content: read by libvips as often as needed, the same each time."""

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file's bytes, or of an array's values."""

    def image(self) -> Any:
        """Return a new libvips image of it, not decoded."""

    def require_unchanged(self) -> None:
        """Raise `ImageError` if it is not what was hashed."""


@dataclass(frozen=True)
class MemoryContent:
    """Content that was copied from bytes, a PIL image or an array, so that it cannot change."""

    sha256: str
    image: Callable[[], Any]

    def require_unchanged(self) -> None:
        """Do nothing: the copy is private."""


class FileContent:
    """A file that stays open until this object is deleted, so that a new file of its name is never mixed in."""

    def __init__(self, path: Path, label: str, check_size: CheckSize) -> None:
        self.label = label
        with file_errors(self.label):
            self._file = _open_file(path)
            weakref.finalize(self, self._file.close)
            head = self._file.read(HEAD_BYTES)  # some special files can be opened, but not read
            self._state = self._read_state()
        self._format = require_readable(head, label)
        self._sha256: str | None = None
        self._encoded = _encode_here(self._file, self._format, label, check_size)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file. Raises `ImageError` if it changes while it is read."""
        if self._sha256 is None:
            self._state = self._read_state()
            self._sha256 = self._hash()
            self.require_unchanged()
        return self._sha256

    def image(self) -> Any:
        """Return a new libvips image of the file, not decoded."""
        if self._encoded is not None:
            return _from_encoded(self._encoded)
        self._file.seek(0)
        load = getattr(pyvips.Image, FORMATS[self._format])
        stream = pyvips.Source.new_from_descriptor(self._file.fileno())  # duplicates the descriptor
        # Not "truncated": that accepts a TIFF without its end, and leaves the missing pixels black.
        return load(stream, fail_on="error", access="random")

    def require_unchanged(self) -> None:
        """Raise `ImageError` if the file has other bytes than when it was hashed."""
        # Other times do not mean other bytes: the job queue touches files that are used again.
        state = self._read_state()
        if state != self._state and self._hash() != self._sha256:
            raise changed_error(self.label)
        self._state = state

    def _hash(self) -> str:
        with file_errors(self.label):
            self._file.seek(0)
            return hashlib.file_digest(self._file, "sha256").hexdigest()

    def _read_state(self) -> tuple[int, int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _open_file(path: Path) -> FileIO:
    """Open a file to read; pictures and masks are opened nowhere else."""
    return path.open("rb", buffering=0)


def read_bytes(data: bytes, label: str, check_size: CheckSize) -> MemoryContent:
    """Return the content of a file's bytes. Raises `ImageError`."""
    kind = require_readable(data[:HEAD_BYTES], label)
    sha256 = hashlib.sha256(data).hexdigest()
    encoded = _encode_here(io.BytesIO(data), kind, label, check_size)
    if encoded is not None:
        return MemoryContent(sha256, lambda: _from_encoded(encoded))
    load = getattr(pyvips.Image, FORMATS[kind].replace("_source", "_buffer"))
    return MemoryContent(sha256, lambda: load(data, fail_on="error", access="random"))


def read_stream(stream: IO[bytes], label: str) -> bytes:
    """Read a stream to its end, such as a pipe. Raises `ImageError`."""
    try:
        data = stream.read(MAX_STREAM_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ImageError(f"{label} cannot be read: {error}.") from error
    if not isinstance(data, bytes):
        raise ImageError(f"{label} is a stream of text. Open the file in binary mode.")
    if len(data) > MAX_STREAM_BYTES:
        raise ImageError(f"{label} has more than {MAX_STREAM_BYTES // 10**6} MB. Save it to a file, and give that.")
    if not data:
        raise ImageError(f"{label} is empty, or was read before. Give each picture once.")
    return data


def _encode_here(file: IO[bytes], kind: str, label: str, check_size: CheckSize) -> Encoded | None:
    """Decode a file that libvips does not read, and encode it without loss; None for other files."""
    if kind == "tiff":
        require_no_camera_raw(file, label)
    file.seek(0)
    if kind not in WITHOUT_LIBVIPS and not (kind == "tiff" and is_lab_tiff(file)):
        return None
    file.seek(0)
    if kind == "exr":
        return read_exr(file, label, check_size)
    return encode_file(file, kind, label, check_size)


def read_pil(picture: Any, label: str, check_size: CheckSize) -> MemoryContent:
    """Return the content of a PIL image. Raises `ImageError`."""
    check_size(picture.height, picture.width)
    encoded = encode_pil(picture, label)
    sha256 = hashlib.sha256(encoded.data + bytes([encoded.orientation])).hexdigest()
    return MemoryContent(sha256, lambda: _from_encoded(encoded))


def _from_encoded(encoded: Encoded) -> Any:
    """Return a file that was encoded here as a libvips image, not decoded."""
    image = pyvips.Image.new_from_buffer(encoded.data, "").copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", encoded.orientation)
    image.set_type(pyvips.GValue.gdouble_type, PEAK_FIELD, encoded.peak)
    if encoded.note:
        image.set_type(pyvips.GValue.gstr_type, NOTE_FIELD, encoded.note)
    return image


def read_array(source: Any) -> MemoryContent:
    """Return the content of an array or tensor. Raises `ImageError`."""
    array = to_float_array(source)
    sha256 = hashlib.sha256(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes()).hexdigest()
    return MemoryContent(sha256, lambda: pyvips.Image.new_from_array(array))


@contextlib.contextmanager
def file_errors(label: str) -> Iterator[None]:
    """Raise `ImageError` for errors of the file system."""
    try:
        yield
    except OSError as error:
        raise ImageError(f"{label} cannot be read: {error.strerror}. Check the file and its permissions.") from error


def changed_error(label: str) -> ImageError:
    """Return the error for a file that is written to while it is read."""
    return ImageError(f"{label} changed while it was read. Run the command again when it is complete.")
