"""What a picture looks like while it is painted: one small JPEG for each job, for whoever watches it.

It is a file beside the queue, so that any number may watch, from any program, without the worker knowing of them.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from impasto.core.image import fit, resize
from impasto.core.method import Progress, render
from impasto.core.tensor_store import TensorStore
from impasto.files import atomic_write
from impasto.images import jpeg

__all__ = ["PreviewWriter", "Previews"]

LONG_SIDE_PX, QUALITY = 640, 80

EVERY_S = 0.25
"""How often at most. Eyes follow more, but a step of the default size takes a second."""

SHARE = 0.02
"""Of the worker's time, what all previews may cost."""


class Previews:
    """The latest look of each job, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, job: int) -> Path:
        """Where it is, if there is one."""
        return self.folder / f"{job}.jpg"

    def version(self, job: int) -> int:
        """A number that grows with every look; 0: there is none."""
        try:
            return self.path(job).stat().st_mtime_ns // 1000  # what a browser can count to
        except OSError:
            return 0

    def put(self, job: int, data: bytes) -> None:
        """Show another one. A disk that is full shows none, which is no reason to stop."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(exist_ok=True)
            with atomic_write(self.path(job)) as temporary:
                temporary.write_bytes(data)

    def remove(self, job: int) -> None:
        """There is nothing to watch any more."""
        self.path(job).unlink(missing_ok=True)


class PreviewWriter:
    """The looks of one job, drawn as often as their cost allows."""

    def __init__(self, previews: Previews, job: int) -> None:
        self.previews, self.job = previews, job
        self.next_s = 0.0

    def saw(self, progress: Progress, store: TensorStore) -> None:
        """Draw this step, if it is time. `store` is that of the run's tensors."""
        began = time.monotonic()
        if began < self.next_s and not progress.is_last:
            return
        self.previews.put(self.job, look(progress, store))
        cost_s = time.monotonic() - began
        self.next_s = began + max(EVERY_S, cost_s / SHARE)


def look(progress: Progress, store: TensorStore) -> bytes:
    """A step as a small JPEG, as the picture would be if it ended there."""
    scene = progress.scene
    changed = scene.retouch is not None or scene.free is not None
    pixels = render(progress, store)[1] if changed else progress.image
    height, width = fit(pixels.shape[2], pixels.shape[3], LONG_SIDE_PX, enlarge=False)
    return jpeg(resize(pixels, height, width).clamp(0, 1), quality=QUALITY)
