"""Pictures of any kind -> opened images: the header is read now, the pixels when they are needed.

Laws: input is not trusted. Only known formats are read, and the header is checked before pixels are decoded.
A file is opened once, so its SHA-256, its size and its pixels belong together; one that is written to before it
was decoded is refused. libvips gets open files, never their names: it caches by name, parses options in
brackets, and expects UTF-8.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyvips

from impasto.config.run_options import MAX_MEGAPIXELS
from impasto.errors import ImageError
from impasto.images.decode import require_pixel_format, vips_errors
from impasto.images.formats import BY_PILLOW, FORMATS, HEAD_BYTES, require_readable
from impasto.images.memory_images import encode_file, encode_pil, is_lab_tiff, to_float_array

__all__ = ["NamedImage", "OpenedImage", "get_name", "get_path", "open_image"]


@dataclass(frozen=True)
class NamedImage:
    """A picture under another name than its file's, or one that has no file."""

    name: str
    pixels: Any


@dataclass(frozen=True, eq=False)
class OpenedImage:
    """A picture that was opened: its name and its upright size are known, hash and pixels are read on request.

    `label` names it in error messages; `path` is None for arrays and PIL images.
    """

    name: str | None
    label: str
    path: Path | None
    height: int
    width: int
    _content: _Content

    @property
    def size(self) -> tuple[int, int]:
        """The upright size, (height, width)."""
        return self.height, self.width

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file, or of the values of an array. Raises `ImageError` if the file changed."""
        return self._content.sha256

    def header(self) -> Any:
        """Return the picture as a libvips image whose pixels are not decoded. Raises `pyvips.Error`."""
        return self._content.image()

    @contextlib.contextmanager
    def decode(self) -> Iterator[Any]:
        """Yield the picture as a libvips image, to be computed inside the `with` block.

        Raises `ImageError` if pixels are damaged, or if the file changed since it was opened.
        """
        _ = self.sha256  # before the pixels, to compare with afterwards
        with vips_errors(f"{self.label} cannot be read as an image"):
            image = self.header()
            if _upright_size(image) != self.size:
                raise _changed(self.label)
            try:
                yield image
            finally:
                self._content.require_unchanged()


def open_image(source: Any, *, max_megapixels: float = MAX_MEGAPIXELS) -> OpenedImage:
    """Open a path, PIL image, array, tensor or `NamedImage`; an `OpenedImage` is returned as it is.

    Raises `ImageError` if it cannot be read, is in an unknown format, or is too large.
    """
    if isinstance(source, OpenedImage):
        return source
    pyvips.block_untrusted_set(True)
    name, path = get_name(source), get_path(source)
    pixels = source.pixels if isinstance(source, NamedImage) else source
    label = str(path) if path is not None and not isinstance(source, NamedImage) else name or "The picture"
    content: _Content
    if path is not None:
        content = _FileContent(path, label)
    elif hasattr(pixels, "getexif"):  # a PIL image, without importing PIL
        label = f"The PIL image ({pixels.mode})"
        _require_megapixels(label, pixels.height, pixels.width, max_megapixels)
        content = _pil_content(pixels, label)
    else:
        content = _array_content(pixels)
    if isinstance(content, _FileContent) and content.needs_pillow:
        content.encode(lambda height, width: _require_megapixels(label, height, width, max_megapixels))
    with vips_errors(f"{label} cannot be read as an image"):
        image = content.image()
        height, width = _upright_size(image)
    if "vips-loader" in image.get_fields():  # not an array
        require_pixel_format(image, label)
        _require_megapixels(label, height, width, max_megapixels)
    return OpenedImage(name, label, path, height, width, content)


def get_name(source: Any) -> str | None:
    """Return the base name of a picture, or None if it has no name."""
    if isinstance(source, (NamedImage, OpenedImage)):
        return source.name
    path = get_path(source)
    return path.name.encode("utf-8", "backslashreplace").decode() if path is not None else None  # names are any bytes


def get_path(source: Any) -> Path | None:
    """Return the path of a picture, or None if it is not a file."""
    if isinstance(source, OpenedImage):
        return source.path
    if isinstance(source, NamedImage):
        source = source.pixels
    return Path(source) if isinstance(source, (str, os.PathLike)) else None


class _Content(Protocol):
    """A picture's content: read by libvips as often as needed, the same each time."""

    @property
    def sha256(self) -> str: ...

    def image(self) -> Any:
        """Return a new libvips image of it, not decoded."""

    def require_unchanged(self) -> None:
        """Raise `ImageError` if it is not what was hashed."""


@dataclass(frozen=True)
class _MemoryContent:
    """Content that was copied from a PIL image or an array, so that it cannot change."""

    sha256: str
    image: Callable[[], Any]

    def require_unchanged(self) -> None:
        """Do nothing: the copy is private."""


class _FileContent:
    """A file that stays open until this object is deleted, so that a new file of its name is never mixed in."""

    def __init__(self, path: Path, label: str) -> None:
        self.label = label
        with self._file_errors():
            if path.is_dir():
                raise ImageError(f"{label} is a directory. Give the path of a picture.")
            if not path.is_file():
                raise ImageError(f"{label}: no such file. Check the path.")
            self._file = _open_file(path)
            weakref.finalize(self, self._file.close)
            head = self._file.read(HEAD_BYTES)  # some special files can be opened, but not read
            self._state = self._read_state()
        self.format = require_readable(head, label)
        self._sha256: str | None = None
        self._encoded: tuple[bytes, int] | None = None

    @property
    def sha256(self) -> str:
        if self._sha256 is None:
            self._state = self._read_state()
            self._sha256 = self._hash()
            self.require_unchanged()
        return self._sha256

    @property
    def needs_pillow(self) -> bool:
        """True if libvips does not read this file."""
        self._file.seek(0)
        return self.format in BY_PILLOW or (self.format == "tiff" and is_lab_tiff(self._file))

    def encode(self, check_size: Callable[[int, int], None]) -> None:
        """Let Pillow decode the file, and keep it in a lossless format. `check_size` is called before decoding."""
        self._file.seek(0)
        self._encoded = encode_file(self._file, self.format, self.label, check_size)

    def image(self) -> Any:
        if self._encoded is not None:
            return _from_encoded(*self._encoded)
        self._file.seek(0)
        load = getattr(pyvips.Image, FORMATS[self.format])
        stream = pyvips.Source.new_from_descriptor(self._file.fileno())  # duplicates the descriptor
        # Not "truncated": that accepts a TIFF without its end, and leaves the missing pixels black.
        return load(stream, fail_on="error", access="random")

    def require_unchanged(self) -> None:
        # Other times do not mean other bytes: the job queue touches files that are used again.
        state = self._read_state()
        if state != self._state and self._hash() != self._sha256:
            raise _changed(self.label)
        self._state = state

    def _hash(self) -> str:
        with self._file_errors():
            self._file.seek(0)
            return hashlib.file_digest(self._file, "sha256").hexdigest()

    def _read_state(self) -> tuple[int, int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns

    @contextlib.contextmanager
    def _file_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ImageError(
                f"{self.label} cannot be read: {error.strerror}. Check the file and its permissions."
            ) from error


def _open_file(path: Path) -> FileIO:
    """Open a file to read; pictures and masks are opened nowhere else."""
    return path.open("rb", buffering=0)


def _pil_content(picture: Any, label: str) -> _MemoryContent:
    data, orientation = encode_pil(picture, label)
    sha256 = hashlib.sha256(data + bytes([orientation])).hexdigest()
    return _MemoryContent(sha256, lambda: _from_encoded(data, orientation))


def _from_encoded(data: bytes, orientation: int) -> Any:
    """Return what `encode_pil` or `encode_file` encoded as a libvips image, not decoded."""
    image = pyvips.Image.new_from_buffer(data, "").copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return image


def _array_content(source: Any) -> _MemoryContent:
    array = to_float_array(source)
    sha256 = hashlib.sha256(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes()).hexdigest()
    return _MemoryContent(sha256, lambda: pyvips.Image.new_from_array(array))


def _upright_size(image: Any) -> tuple[int, int]:
    upright = image.autorot() if "orientation" in image.get_fields() else image
    return upright.height, upright.width


def _require_megapixels(label: str, height: int, width: int, limit: float) -> None:
    megapixels = width * height / 1e6
    if megapixels > limit:
        raise ImageError(
            f"{label} has {width}x{height} px ({round(megapixels, 3):g} megapixels), and the limit is {limit:g}. "
            "Make it smaller, or raise --max-megapixels."
        )


def _changed(label: str) -> ImageError:
    return ImageError(f"{label} changed while it was read. Run the command again when it is complete.")
