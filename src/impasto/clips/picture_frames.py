"""Frames that are pictures: the files of a folder, or the images of an animated GIF or WebP."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from impasto.errors import FrameError, ImageError, VideoError, one_line
from impasto.images import OpenedImage, load, open_image

logger = logging.getLogger("impasto")

__all__ = ["Animation", "PictureSequence", "find_pictures", "may_be_animated", "open_animation"]

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".exr", ".avif", ".heic"}
PRINTF, GLOB = re.compile(r"%0?\d*d"), re.compile(r"[*?\[]")

DEFAULT_MS = 100
"""Duration of an image of an animation that gives none, as browsers show it."""


def find_pictures(path: Path) -> list[Path] | None:
    """Return the numbered pictures of a folder or pattern in their order, or None for any other path."""
    if path.is_dir():
        found = [one for one in path.iterdir() if one.suffix.lower() in SUFFIXES and not one.name.startswith(".")]
    elif path.exists():
        return None
    elif PRINTF.search(path.name):
        parts = PRINTF.split(path.name)
        pattern = re.compile(r"\d+".join(map(re.escape, parts)))
        found = [one for one in _list(path.parent) if pattern.fullmatch(one.name)]
    elif GLOB.search(path.name):
        found = [one for one in path.parent.glob(path.name) if one.is_file()]
    else:
        return None
    if not found:
        raise VideoError(f"{path}: there are no pictures. Give a folder or a pattern of numbered frames, as %04d.png.")
    return sorted(found, key=_natural)


def _list(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _natural(path: Path) -> list[tuple[int, int | str]]:
    """Order names by the numbers in them."""
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part)) if part.isdigit() else (1, part.lower()) for part in parts if part]


class PictureSequence:
    """Pictures of one size."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files
        self.size = self._read_size(0)
        for number in range(1, len(files)):
            if (size := self._read_size(number)) != self.size:
                raise FrameError(
                    f"{files[number]} has {size[1]}x{size[0]} px and {files[0].name} has "
                    f"{self.size[1]}x{self.size[0]} px, and frames need one size. Remove it, or make it fit.",
                    number,
                )

    @property
    def sha256(self) -> str:
        """The SHA-256 of all names and files."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(file.name.encode("utf-8", "surrogateescape") + b"\0" + _open(file, 0).sha256.encode())
        return digest.hexdigest()

    def frames(self, first: int, last: int, long_side_px: int | None = None) -> Iterator[Tensor]:
        """Yield frames `first` to `last` - 1, at full size. Raises `FrameError`."""
        for number in range(first, last):
            try:
                yield _flatten(self.files[number])
            except ImageError as error:
                raise FrameError(one_line(error), number) from error

    def _read_size(self, number: int) -> tuple[int, int]:
        return _open(self.files[number], number).size


def _open(file: Path, number: int) -> OpenedImage:
    try:
        return open_image(file)
    except ImageError as error:
        raise FrameError(one_line(error), number) from error


def _flatten(source: Any) -> Tensor:
    """Load a picture, with its transparent parts white."""
    picture = load(source)
    if picture.alpha is None:
        return picture.pixels
    return torch.lerp(torch.ones_like(picture.pixels), picture.pixels, picture.alpha)


def may_be_animated(path: Path) -> bool:
    """Return True for the formats of pictures that may be animated."""
    with path.open("rb") as file:
        head = file.read(12)
    return head[:4] == b"GIF8" or head[8:] == b"WEBP" or head[:8] == b"\x89PNG\r\n\x1a\n"


def open_animation(path: Path) -> Any:
    """Open an animation with Pillow, without decoding it. Raises `VideoError`."""
    from PIL import Image

    try:
        return Image.open(path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise VideoError(f"{path} cannot be read: {one_line(error)}. Is it a complete file?") from error


class Animation:
    """An animated GIF, WebP or PNG. Pillow reads it: FFmpeg does not decode animated WebP."""

    def __init__(self, path: Path) -> None:
        self.path = path
        durations = []
        with open_animation(self.path) as image:
            self.size = (image.height, image.width)
            for number in range(getattr(image, "n_frames", 1)):
                self._seek(image, number)
                durations.append(Fraction(round(image.info.get("duration") or DEFAULT_MS), 1000))
        self.durations = durations

    def frames(self, first: int, last: int, long_side_px: int | None = None) -> Iterator[Tensor]:
        """Yield frames `first` to `last` - 1, at full size. Raises `FrameError`."""
        with open_animation(self.path) as image:
            for number in range(first, last):
                self._seek(image, number)
                yield _flatten(image.convert("RGBA" if image.has_transparency_data else "RGB"))

    def _seek(self, image: Any, number: int) -> None:
        try:
            image.seek(number)
            image.load()
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise FrameError(f"{self.path}: image {number + 1} is damaged. Set `end` before it.", number) from error
