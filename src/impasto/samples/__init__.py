"""The pictures that ship with Impasto: a photo as content, and seven pictures as styles.

The photo `cat` is "Chelsea the cat" by Stefan van der Walt, who placed it in the public domain
(CC0 1.0). It comes from scikit-image 0.26.0, `skimage/data/chelsea.png`, re-encoded as JPEG.

The styles are not files: `paint` draws them with numpy, from a seed. That takes a second, so `thumbnails` has small
copies to show until then, made by `scripts/draw_thumbnails.py`.

- `swirl`: a windy night over fields, in thick strokes of oil.
- `dots`: a bay at sundown, in dots of unmixed paint.
- `mosaic`: a sun over the sea, in glass tiles.
- `ink`: mountains in mist and bamboo, in ink on paper.
- `poster`: a sun over hills, in six flat colors.
- `stone`: cracked layers of rock, as in a photo.
- `fire`: flames in the dark, as in a photo.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from impasto.errors import InputError
from impasto.samples import dots, fire, ink, mosaic, poster, stone, swirl

__all__ = [
    "NAMES",
    "PAINTINGS",
    "PHOTOS",
    "THUMBNAIL_PX",
    "Photo",
    "clamp_size",
    "credit",
    "paint",
    "photo_path",
    "thumbnail_path",
]

MIN_PX, MAX_PX = 64, 2048

THUMBNAIL_PX = 192
"""Long side of a painting's thumbnail."""

_PAINTERS = {
    "swirl": swirl.draw,
    "dots": dots.draw,
    "mosaic": mosaic.draw,
    "ink": ink.draw,
    "poster": poster.draw,
    "stone": stone.draw,
    "fire": fire.draw,
}


@dataclass(frozen=True)
class Photo:
    """A photo that ships with Impasto, and its author."""

    name: str
    title: str
    author: str
    license: str
    source: str


_PHOTOS = (
    Photo(
        name="cat",
        title="Chelsea the cat",
        author="Stefan van der Walt",
        license="CC0 1.0",
        source="scikit-image 0.26.0, skimage/data/chelsea.png",
    ),
)

PAINTINGS: tuple[str, ...] = tuple(_PAINTERS)
PHOTOS: tuple[str, ...] = tuple(photo.name for photo in _PHOTOS)
NAMES: tuple[str, ...] = (*PHOTOS, *PAINTINGS)


def paint(name: str, *, size_px: int = 512, seed: int = 0) -> NDArray[np.uint8]:
    """Draw one of `PAINTINGS` as sRGB bytes (H, W, 3), `size_px` wide and about 5:4.

    The same name, size and seed give the same bytes. Another size scales the picture, another seed changes the
    composition. Raises `InputError`.
    """
    if name not in _PAINTERS:
        raise InputError(f"{name!r} is not a painting that ships with Impasto. Choose one of {', '.join(PAINTINGS)}.")
    if not MIN_PX <= size_px <= MAX_PX:
        raise InputError(f"A painting cannot be drawn at {size_px} px. Choose a size from {MIN_PX} to {MAX_PX} px.")
    if seed < 0:
        raise InputError(f"A painting cannot be drawn with seed {seed}. Choose 0 or a larger whole number.")
    return _PAINTERS[name](size_px, np.random.Generator(np.random.PCG64(seed)))


def clamp_size(size_px: int) -> int:
    """Return the nearest size that a painting can be drawn at."""
    return min(max(size_px, MIN_PX), MAX_PX)


def photo_path(name: str) -> Path:
    """Return the path of one of `PHOTOS`, a JPEG. Raises `InputError`."""
    return Path(__file__).with_name(f"{_photo(name).name}.jpg")


def thumbnail_path(name: str) -> Path:
    """Return the path of a small JPEG of one of `PAINTINGS`, as `paint` draws it at 512 px."""
    return Path(__file__).with_name("thumbnails") / f"{name}.jpg"


def credit(name: str) -> str:
    """Return author, license and source of one of `PHOTOS` or `PAINTINGS`, in one line. Raises `InputError`."""
    if name in _PAINTERS:
        return f"{name}: drawn by Impasto's own code"
    photo = _photo(name)
    return f"{photo.title}: photo by {photo.author}, {photo.license}, from {photo.source}"


def _photo(name: str) -> Photo:
    for photo in _PHOTOS:
        if photo.name == name:
            return photo
    raise InputError(f"{name!r} is not a photo that ships with Impasto. Choose one of {', '.join(PHOTOS)}.")
