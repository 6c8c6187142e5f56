"""The folder of a clip's painted frames: everything that is needed to continue after an interruption."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from impasto.clips.frames import Frame
from impasto.config.video import VideoOptions
from impasto.errors import OutputError, RecipeError
from impasto.files import atomic_write, require_room

__all__ = ["FrameFolder", "require_room_for_frames"]

DESCRIPTION = "clip.json"

FAST = 1
"""Compression level of the frames, which are temporary."""

PNG_BYTES, CODED_BYTES = 2.5, 0.5
"""Upper limits for each pixel of a painted frame: as PNG, and in the clip. Measured are 2.3 and .43."""


def require_room_for_frames(folder: Path, count: int, size: tuple[int, int], video: VideoOptions) -> None:
    """Raise `OutputError` if the disk of a folder has no room for so many painted frames, and for the clip of them."""
    height, width = size
    each = PNG_BYTES + (PNG_BYTES if video.lossless else CODED_BYTES)
    advice = "Free some space, choose a smaller size, or a place on another disk."
    needs = f"The clip's frames of {width}x{height} px, {count} to paint, need up to"
    require_room(folder, count * height * width * each, needs, advice)


class FrameFolder:
    """Painted frames as PNG, and the description of what paints them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, description: Mapping[str, Any], *, resume: bool) -> None:
        """Create the folder, or continue with the frames in it. Raises `OutputError`, `RecipeError`."""
        given = json.loads(json.dumps(description))
        file = self.path / DESCRIPTION
        if self.path.exists() and any(self.path.iterdir()):
            if not file.is_file():
                raise OutputError(f"{self.path} is in the way, and was not written by Impasto. Choose another -o.")
            if self.count and not resume:
                raise OutputError(
                    f"{self.path} holds {self.count} frames of a run that was interrupted. Continue it with --resume, "
                    "or delete that folder."
                )
        if self.count:
            self._require_same(file, given)
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.path} cannot be created: {error.strerror}. Choose another -o.") from error
        with atomic_write(file) as temporary:
            temporary.write_text(json.dumps(given))

    def _require_same(self, file: Path, given: Mapping[str, Any]) -> None:
        try:
            before = json.loads(file.read_text())
            changed = [name for name in given if before.get(name) != given[name]]
        except (OSError, ValueError, AttributeError) as error:
            raise RecipeError(f"{file} is damaged. Delete {self.path} to start over.") from error
        if changed:
            raise RecipeError(
                f"{self.path} belongs to a run with another {changed[0]}. Use the same, or delete that folder to start "
                "over."
            )

    def recorded(self, name: str) -> Any:
        """Return a part of the description in the folder, None without one."""
        try:
            return json.loads((self.path / DESCRIPTION).read_text()).get(name)
        except (OSError, ValueError, AttributeError):
            return None

    @property
    def names(self) -> list[str]:
        """The names of all frames that are done."""
        return [file.stem for file in self.path.glob("*.png")]

    @property
    def count(self) -> int:
        """The number of frames that are done."""
        return sum(1 for _ in self.path.glob("[0-9]*.png"))

    def file(self, name: str) -> Path:
        """Return the path of a frame."""
        return self.path / f"{name}.png"

    def read(self, name: str) -> Frame | None:
        """Return a painted frame, None if it is not painted yet. Raises `RecipeError` if it is damaged."""
        try:
            with Image.open(self.file(name)) as picture:
                return np.asarray(picture.convert("RGB"))
        except FileNotFoundError:
            return None
        except (OSError, SyntaxError) as error:
            raise RecipeError(f"{self.file(name)} is damaged. Delete it to paint that frame again.") from error

    def write(self, name: str, picture: Frame) -> None:
        """Write a painted frame. Raises `OutputError`."""
        with atomic_write(self.file(name)) as temporary, temporary.open("wb") as file:
            Image.fromarray(picture).save(file, format="png", compress_level=FAST)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
