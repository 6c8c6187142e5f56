"""Films of a run: from noise to the picture, with the losses along the bottom.

Most of the visible change happens in the first steps, so frames are evenly spaced in visual change, not in steps. The
change from one frame to the next is the mean difference of their thumbnails.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from impasto.config.run_options import FILM_S
from impasto.core.image import fit, thumbnail
from impasto.core.method import Progress, render, render_small
from impasto.core.target_image import initial_target
from impasto.core.tensor_store import RamStore
from impasto.files import atomic_write
from impasto.render.film_formats import FRAMES_PER_S, HOLD_S, hold_last, require_film, write_animation, write_video
from impasto.render.film_frame import LOSS_COLORS, FilmChart, Frame
from impasto.render.grid import to_pil

__all__ = ["Film"]


THUMBNAIL_PX = 64
"""Long side of the thumbnails that measure visual change."""

MIN_WIDTH_PX = 320
"""Small pictures are enlarged by a whole factor to this width, so that the text below fits."""

MIN_FRAMES = 64
"""Number of frames that are kept whatever memory they take."""


class Film:
    """The frames of a run, thinned evenly in visual change when they take more than `max_bytes`."""

    def __init__(self, long_side_px: int = 720, max_bytes: int = 256 << 20) -> None:
        self.long_side_px, self.max_bytes = long_side_px, max_bytes
        self.frames: list[Frame] = []
        self._last_frame: Frame | None = None
        self._last_thumbnail: Tensor | None = None

    def observe(self, run: object, progress: Progress) -> None:
        """Record a step of a run, as an observer."""
        self.record(progress)

    def record(self, progress: Progress) -> None:
        """Add a frame for a step. The first step also adds the picture before it, whose losses are unknown."""
        if not self.frames and (progress.scale, progress.iteration) == (1, 1):
            self._add(_before_first_step(progress), "the start", {})
        size = progress.size
        label = f"{size.width}×{size.height}, step {progress.iteration} of {size.iterations}"
        self._add(progress, label, {name: float(getattr(progress.losses, name)) for name in LOSS_COLORS})

    def _add(self, progress: Progress, label: str, losses: dict[str, float]) -> None:
        picture = self._render(progress)
        small = thumbnail(picture, THUMBNAIL_PX)
        change = 0.0
        if self._last_frame is not None and self._last_thumbnail is not None:
            change = float((small - self._last_thumbnail).abs().mean()) + self._last_frame.change
        frame = Frame(np.asarray(to_pil(picture)), losses, label, change)
        self._last_frame, self._last_thumbnail = frame, small
        self.frames.append(frame)
        if len(self.frames) > max(MIN_FRAMES, self.max_bytes // max(frame.pixels.nbytes, 1)):
            self.frames = self.select(len(self.frames) // 2)

    def _render(self, progress: Progress) -> Tensor:
        """Render the picture of a step, at most as large as the film."""
        inputs = progress.inputs
        if inputs.finish is not None:  # it works at full size
            return thumbnail(render(progress, RamStore())[1], self.long_side_px)
        height, width = fit(*inputs.picture_size, self.long_side_px, enlarge=False)
        picture = render_small(progress, height, width)
        factor = max(1, min(-(-MIN_WIDTH_PX // width), self.long_side_px // max(height, width)))
        return picture.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)

    def select(self, count: int) -> list[Frame]:
        """Select about `count` frames, evenly spaced in visual change, with the first and the last."""
        changes = [frame.change for frame in self.frames]
        targets = np.linspace(changes[0], changes[-1], count)
        chosen = sorted({min(bisect.bisect_left(changes, target), len(changes) - 1) for target in targets})
        return [self.frames[at] for at in dict.fromkeys([0, *chosen, len(changes) - 1])]

    def interpolate(self, count: int) -> Iterator[tuple[float, Frame]]:
        """Yield `count` frames, evenly spaced in visual change, each with its position from 0 to 1."""
        changes = [frame.change for frame in self.frames]
        whole = max(changes[-1] - changes[0], 1e-12)
        for number in range(count):
            position = number / max(count - 1, 1)
            target = changes[0] + position * whole
            after = min(bisect.bisect_left(changes, target), len(changes) - 1)
            before = max(after - 1, 0)
            gap = changes[after] - changes[before]
            share = (target - changes[before]) / gap if gap > 0 else 1.0
            yield position, _blend(self.frames[before], self.frames[after], min(max(share, 0.0), 1.0))

    def write(self, path: str | Path, *, seconds: float = FILM_S) -> None:
        """Write .mp4 with PyAV, .gif and .webp with Pillow. Raises `OutputError` and leaves no partial file."""
        path = Path(path)
        require_film(path)
        suffix = path.suffix.lower()
        rate = FRAMES_PER_S[suffix]
        chart = FilmChart(self.frames, self.frames[-1].pixels.shape[1])
        images = (chart.draw(frame, position) for position, frame in self.interpolate(max(2, round(seconds * rate))))
        with atomic_write(path) as temporary:
            if suffix == ".mp4":
                ending = itertools.repeat(chart.draw(self.frames[-1], 1.0), round(HOLD_S * rate))
                write_video(temporary, itertools.chain(images, ending), rate)
            else:
                frames = list(images)
                write_animation(temporary, suffix, frames, hold_last(len(frames), rate))


def _before_first_step(progress: Progress) -> Progress:
    inputs, config = progress.inputs, progress.objective.config
    start = initial_target(inputs.initial_picture(config.init), config, inputs.scales[0], RamStore())
    return replace(progress, scale=1, image=start, inputs=replace(inputs, move_colors=None))


def _blend(one: Frame, other: Frame, share: float) -> Frame:
    """Fade from one frame to another; frames of different sizes are not mixed."""
    nearer = other if share >= 0.5 else one
    if one.pixels.shape != other.pixels.shape:
        return nearer
    mixed = one.pixels * (1 - share) + other.pixels * share
    losses = nearer.losses
    if one.losses and other.losses:
        losses = {name: one.losses[name] * (1 - share) + value * share for name, value in other.losses.items()}
    return Frame(mixed.round().astype(np.uint8), losses, nearer.label, one.change)
