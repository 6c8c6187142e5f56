"""A preview of a clip: a few of its frames, painted small, on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from impasto import images
from impasto.clips.clip_run import ClipRun
from impasto.config import Config
from impasto.config.video import options_at
from impasto.render.grid import Cell, draw_grid
from impasto.run import Observer, Run, drive

__all__ = ["draw_preview"]

COUNT, SIZE_PX = 4, 256


def draw_preview(clip: ClipRun, path: Path, observers: Sequence[Observer] = ()) -> None:
    """Paint frames from all parts of a clip, each by itself, and write a sheet. Raises `OutputError`."""
    frames, first = clip.selection.frames, clip.first
    count = min(COUNT, len(frames))
    originals, painted, names = [], [], []
    for place in range(count):
        selected = frames[(2 * place + 1) * len(frames) // (2 * count)]
        options = {
            "size": min(first.config.size or SIZE_PX, SIZE_PX),
            **options_at(clip.video.keyframes, selected.time),
        }
        pixels = clip.clip.frame(selected.source)
        inputs = first.opened_inputs.model_copy(update={"content": pixels, **clip.masks.at(selected.source)})
        run = Run(inputs, Config(**(first.config.model_dump() | options)), first.options, cache=first.cache)
        result = drive(run, observers)
        originals.append(Cell(images.load(pixels, frame=run.sizes.frame).pixels))
        painted.append(Cell(result.image))
        names.append(f"{float(selected.source_time):.2f} s")
    sheet = draw_grid([originals, painted], column_labels=names, row_labels=["clip", "painted"])
    images.save(path, sheet, None)
