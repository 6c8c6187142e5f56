"""Pictures of any kind -> opened images: the header is read now, the pixels when they are needed.

Laws: input is not trusted. Only known formats are read, and the header is checked before pixels are decoded.
A file is opened once, so its SHA-256, its size and its pixels belong together; one that is written to before it
was decoded is refused. libvips gets open files, never their names: it caches by name, parses options in
brackets, and expects UTF-8.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyvips

from impasto.config.run_options import MAX_MEGAPIXELS
from impasto.errors import ImageError
from impasto.images.content import (
    PEAK_FIELD,
    CheckSize,
    Content,
    FileContent,
    changed_error,
    file_errors,
    read_array,
    read_bytes,
    read_pil,
    read_stream,
)
from impasto.images.decode import require_pixel_format, vips_errors

__all__ = ["NamedImage", "OpenedImage", "get_name", "get_path", "open_image"]


@dataclass(frozen=True)
class NamedImage:
    """A picture under another name than its file's, or one that has no file."""

    name: str
    pixels: Any


@dataclass(frozen=True, eq=False)
class OpenedImage:
    """A picture that was opened: its name and its upright size are known, hash and pixels are read on request.

    `label` names it in error messages; `path` is None for arrays and PIL images. An alpha channel may be opaque
    everywhere. `peak` is that of the tone curve of an OpenEXR file, 1 for other pictures.
    """

    name: str | None
    label: str
    path: Path | None
    height: int
    width: int
    has_alpha: bool
    _content: Content
    peak: float = 1.0

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
                raise changed_error(self.label)
            try:
                yield image
            finally:
                self._content.require_unchanged()


def open_image(source: Any, *, max_megapixels: float = MAX_MEGAPIXELS) -> OpenedImage:
    """Open a path, a file's bytes or an open file, PIL image, array, tensor or `NamedImage`.

    A pipe is read to its end. An `OpenedImage` is returned as it is.
    Raises `ImageError` if it cannot be read, is in an unknown format, or is too large.
    """
    if isinstance(source, OpenedImage):
        return source
    pyvips.block_untrusted_set(True)
    name, path = get_name(source), get_path(source)
    label = str(path) if path is not None and not isinstance(source, NamedImage) else name or "The picture"
    pixels = source.pixels if isinstance(source, NamedImage) else source
    if hasattr(pixels, "getexif"):
        label = f"The PIL image ({pixels.mode})"

    def check_size(height: int, width: int) -> None:
        _require_megapixels(label, height, width, max_megapixels)

    content = _open_content(pixels, path, label, check_size)
    with vips_errors(f"{label} cannot be read as an image"):
        image = content.image()
        height, width = _upright_size(image)
    if "vips-loader" in image.get_fields():
        require_pixel_format(image, label)
        check_size(height, width)
        has_alpha = bool(image.hasalpha())
    else:  # an array, whose bands have no names
        has_alpha = image.bands in (2, 4)
    peak = float(image.get(PEAK_FIELD)) if PEAK_FIELD in image.get_fields() else 1.0
    return OpenedImage(name, label, path, height, width, has_alpha, content, peak)


def _open_content(source: Any, path: Path | None, label: str, check_size: CheckSize) -> Content:
    if path is not None:
        return _open_path(path, label, check_size)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return read_bytes(bytes(source), label, check_size)
    if hasattr(source, "getexif"):  # a PIL image, without importing PIL
        return read_pil(source, label, check_size)
    if hasattr(source, "read"):
        return read_bytes(read_stream(source, label), label, check_size)
    return read_array(source)


def _open_path(path: Path, label: str, check_size: CheckSize) -> Content:
    with file_errors(label):
        if path.is_dir():
            raise ImageError(f"{label} is a directory. Give the path of a picture.")
        if not path.exists():
            if address := re.fullmatch(r"(https?):/+(.*)", str(path), re.DOTALL):
                raise ImageError(
                    f"{address[1]}://{address[2]} is a web address. Download the picture first, and give the file."
                )
            raise ImageError(f"{label}: no such file. Check the path.")
        if path.is_file():
            return FileContent(path, label, check_size)
        with path.open("rb") as pipe:
            return read_bytes(read_stream(pipe, label), label, check_size)


def get_name(source: Any) -> str | None:
    """Return the base name of a picture, or None if it has no name."""
    if isinstance(source, (NamedImage, OpenedImage)):
        return source.name
    path = get_path(source)
    if path is None and isinstance(name := getattr(source, "name", None), str):  # an open file
        path = Path(name)
    return path.name.encode("utf-8", "backslashreplace").decode() if path is not None else None  # names are any bytes


def get_path(source: Any) -> Path | None:
    """Return the path of a picture, or None if it is not a file."""
    if isinstance(source, OpenedImage):
        return source.path
    if isinstance(source, NamedImage):
        source = source.pixels
    return Path(source) if isinstance(source, (str, os.PathLike)) else None


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
