"""A photo as a clip: the same frame for some seconds, for options that change along it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from impasto import images
from impasto.clips.clip import Clip

__all__ = ["open_photo"]


@dataclass(frozen=True)
class _Photo:
    """A source of frames that are all the same."""

    pixels: Tensor

    def frames(self, first: int, last: int, long_side_px: int | None = None) -> Iterator[Tensor]:
        """Yield the photo as often as there are frames."""
        return itertools.repeat(self.pixels, last - first)


def open_photo(path: Path, duration: Fraction, rate: Fraction) -> Clip:
    """Open a photo as a clip of this duration in seconds. Raises `ImageError`."""
    pixels = images.load(images.open_image(path)).pixels
    count = max(1, math.ceil(duration * rate))
    times = tuple(number / rate for number in range(count))
    height, width = pixels.shape[2:]
    return Clip(path, (height, width), times, duration, rate, 1 / rate, _source=_Photo(pixels))
