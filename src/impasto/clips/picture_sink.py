"""Clips as pictures: animated GIF and WebP by Pillow, and folders of PNG."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from impasto.clips.metadata import NOTE_FILE
from impasto.core.tensor_store import RamStore
from impasto.errors import OutputError
from impasto.files import ScratchFolder, require_writable
from impasto.images import quantize, save
from impasto.render.film_formats import write_animation

__all__ = ["AnimationSink", "FolderSink", "require_folder"]

STEP_MS = {".gif": 10, ".webp": 1}
"""Durations are multiples of these."""

OWN_NAMES = re.compile(rf"\d{{5,}}\.png|{re.escape(NOTE_FILE)}")


class AnimationSink:
    """An animation. Frames wait in a scratch folder, since Pillow takes all at once."""

    def __init__(self, path: Path, suffix: str, *, lossless: bool, note: str) -> None:
        self._path, self._suffix, self._lossless, self._note = path, suffix, lossless, note
        self._scratch = ScratchFolder()
        self._ends: list[Fraction] = []

    def write(self, pixels: Tensor, time: Fraction, duration: Fraction) -> None:
        """Add a frame."""
        levels = quantize(pixels, None, 8, RamStore()).astype(np.uint8)
        Image.fromarray(levels).save(self._file(len(self._ends)), compress_level=1)
        self._ends.append(time + duration)

    def finish(self) -> None:
        """Write the animation."""
        step = STEP_MS[self._suffix]
        ends = [round(end * 1000 / step) * step for end in self._ends]
        durations = [max(step, end - before) for before, end in zip([0, *ends], ends, strict=False)]
        frames = (Image.open(self._file(number)) for number in range(len(durations)))
        write_animation(self._path, self._suffix, frames, durations, note=self._note, lossless=self._lossless)
        self.abandon()

    def abandon(self) -> None:
        """Remove the frames that wait."""
        self._scratch.cleanup()

    def _file(self, number: int) -> Path:
        return self._scratch.path / f"{number}.png"


class FolderSink:
    """A folder of frames."""

    def __init__(self, folder: Path, note: str) -> None:
        self._folder, self._note, self._count = folder, note, 0

    def write(self, pixels: Tensor, time: Fraction, duration: Fraction) -> None:
        """Write a frame."""
        self._count += 1
        save(self._folder / f"{self._count:05d}.png", pixels)

    def finish(self) -> None:
        """Write the note."""
        if self._note:
            (self._folder / NOTE_FILE).write_text(self._note)

    def abandon(self) -> None:
        """Do nothing: the folder is removed."""


def require_folder(path: Path, inputs: Sequence[Path] = ()) -> None:
    """Raise `OutputError` if `path` cannot become a folder of frames. Files of others are never replaced."""
    if any(path.resolve() in (source.resolve(), source.resolve().parent) for source in inputs):
        raise OutputError(f"{path} is the folder of an input. Choose another name.")
    if path.is_dir():
        if others := [one.name for one in path.iterdir() if not OWN_NAMES.fullmatch(one.name)]:
            raise OutputError(f"{path} holds other files, such as {min(others)}. Give an empty or a new folder.")
    elif path.exists():
        raise OutputError(f"{path} is a file, and frames need a folder. Choose another name.")
    require_writable(path.parent / f".impasto-{secrets.token_hex(8)}")
