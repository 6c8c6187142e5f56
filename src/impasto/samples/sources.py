"""Names of pictures on the command line and in recipes: paths, or `sample:NAME`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from impasto import samples
from impasto.errors import InputError
from impasto.images import NamedImage
from impasto.images.content import read_stream

__all__ = ["SAMPLE", "STDIN", "parse_sample_name", "resolve_picture", "restore_picture"]

SAMPLE = "sample:"

STDIN = "stdin:"
"""The picture on standard input."""


def parse_sample_name(name: str) -> str | None:
    """Return the sample that a name like `sample:cat` means, or None for other names."""
    sample = name.removeprefix(SAMPLE)
    return sample if name.startswith(SAMPLE) and sample in samples.NAMES else None


def resolve_picture(text: str, size_px: int) -> Any:
    """Return the path that a name means, the sample, or for `stdin:` the picture on standard input.

    Paintings are drawn near `size_px`. Raises `InputError` if there is no such sample, `ImageError`.
    """
    if text == STDIN:
        return NamedImage("standard input", read_stream(sys.stdin.buffer, "standard input"))
    if not text.startswith(SAMPLE):
        return Path(text)
    name = parse_sample_name(text)
    if name is None:
        known = ", ".join(SAMPLE + name for name in samples.NAMES)
        raise InputError(f"{text} does not ship with Impasto. Choose one of {known}.")
    if name in samples.PHOTOS:
        return NamedImage(text, samples.photo_path(name))
    return NamedImage(text, samples.paint(name, size_px=samples.clamp_size(size_px)))


def restore_picture(name: str, path: Path) -> NamedImage:
    """Return a picture that was saved as a file, under its name.

    A painting is returned as pixels again, because recipes record the hash of its pixels.
    """
    if parse_sample_name(name) not in samples.PAINTINGS:
        return NamedImage(name, path)
    with Image.open(path) as image:
        return NamedImage(name, np.asarray(image))
