"""What names of pictures mean: paths, or those that ship."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from impasto import samples
from impasto.errors import InputError
from impasto.images import NamedImage

__all__ = ["SAMPLE", "resolve_picture", "restore_picture", "sample_name_of"]

SAMPLE = "sample:"


def sample_name_of(name: str) -> str | None:
    """Which of the pictures that ship a name means; None: another picture."""
    sample = name.removeprefix(SAMPLE)
    return sample if name.startswith(SAMPLE) and sample in samples.NAMES else None


def resolve_picture(text: str, size_px: int) -> Any:
    """What a name means: a path, or `sample:NAME`, a picture that ships, drawn as large as that if it is drawn.

    Raises `InputError`: no such sample.
    """
    if not text.startswith(SAMPLE):
        return Path(text)
    name = sample_name_of(text)
    if name is None:
        known = ", ".join(SAMPLE + name for name in samples.NAMES)
        raise InputError(f"{text} does not ship with Impasto. Take one of {known}.")
    if name in samples.PHOTOS:
        return NamedImage(text, samples.photo_path(name))
    return NamedImage(text, samples.paint(name, size_px=samples.fitting_px(size_px)))


def restore_picture(name: str, path: Path) -> NamedImage:
    """A picture of this name that is kept as a file; of a sample that was drawn, the pixels again.

    By those a recipe knows it, so that it can be drawn once more when the picture is reproduced.
    """
    if sample_name_of(name) not in samples.PAINTINGS:
        return NamedImage(name, path)
    with Image.open(path) as image:
        return NamedImage(name, np.asarray(image))
