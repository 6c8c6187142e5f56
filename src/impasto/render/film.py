"""A run as a film: noise becoming a picture, even in what one sees, with the losses along the bottom.

Most of what there is to see happens in the first steps, so frames are not even in steps but in visual change: the
mean difference of neighboring views, of what is left of them at some 64 px.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from impasto.core.image import fit, resize, thumbnail
from impasto.core.method import Progress, initial_target, render
from impasto.core.tensor_store import RamStore
from impasto.errors import OutputError
from impasto.files import atomic_write, require_writable
from impasto.render.grid import to_pil
from impasto.render.text import INK, MUTED, PAPER, draw_text, load_font, text_width_px, truncate_middle

__all__ = ["SECONDS", "SUFFIXES", "Film", "Frame", "check_film"]

SUFFIXES = (".mp4", ".gif", ".webp")
FRAMES_PER_S = {".mp4": 25, ".gif": 12, ".webp": 20}
SECONDS = 6.0
"""How long a film is, where nothing else is asked for."""

LAST_S = 1.5
"""How long the finished picture stays."""

LONG_SIDE_PX = {".mp4": 1280, ".gif": 480, ".webp": 720}
SMALL_PX = 64
ROOM_PX = 320
LEAST_VIEWS = 64
CURVES = {"total": INK, "content": (33, 119, 180), "style": (200, 90, 40)}


@dataclass(frozen=True)
class Frame:
    """One step as it looked: pixels (H, W, 3) of 8 bits, its losses, and all visual change before it."""

    pixels: NDArray[np.uint8]
    losses: dict[str, float]
    label: str
    change: float


class Film:
    """Watches a run. It keeps views within `limit_bytes`, thinned evenly in visual change."""

    def __init__(self, long_side_px: int = 720, limit_bytes: int = 256 << 20) -> None:
        self.long_side_px, self.limit_bytes = long_side_px, limit_bytes
        self.views: list[Frame] = []
        self._before: Tensor | None = None
        self._last: Frame | None = None

    def saw(self, progress: Progress) -> None:
        """Take a view of a step."""
        if not self.views and (progress.scale, progress.iteration) == (1, 1):
            self._take(_before(progress), "the start", losses={})  # which nobody measured
        size = progress.size
        label = f"{size.width}×{size.height}, step {progress.iteration} of {size.iterations}"
        self._take(progress, label)

    def _take(self, progress: Progress, label: str, losses: dict[str, float] | None = None) -> None:
        picture = self._view(progress)
        small = thumbnail(picture, SMALL_PX)
        change = 0.0 if self._before is None else float((small - self._before).abs().mean())
        if self._last is not None:
            change += self._last.change
        self._before = small
        if losses is None:
            losses = {name: float(getattr(progress.losses, name)) for name in CURVES}
        view = Frame(np.asarray(to_pil(picture)), losses, label, change)
        self._last = view
        self.views.append(view)
        if len(self.views) > max(LEAST_VIEWS, self.limit_bytes // max(view.pixels.nbytes, 1)):
            self.views = self.evenly(len(self.views) // 2)

    def _view(self, progress: Progress) -> Tensor:
        """The picture as it would be written now, no larger than the film."""
        scene, full = progress.scene, progress.scene.scales[-1]
        if scene.retouch is not None:  # colors are put back at full size only
            return thumbnail(render(progress, RamStore())[1], self.long_side_px)
        height, width = fit(full.height, full.width, self.long_side_px, enlarge=False)
        picture = resize(progress.image, height, width).clamp(0, 1)
        # Small pictures are enlarged by a whole factor: there must be room for the words beneath.
        factor = max(1, min(-(-ROOM_PX // width), self.long_side_px // max(height, width)))
        return picture.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)

    def evenly(self, count: int) -> list[Frame]:
        """About `count` of the views, the first and the last among them, evenly far apart in visual change."""
        changes = [view.change for view in self.views]
        places = np.linspace(changes[0], changes[-1], count)
        chosen = sorted({min(bisect.bisect_left(changes, place), len(changes) - 1) for place in places})
        return [self.views[at] for at in dict.fromkeys([0, *chosen, len(changes) - 1])]

    def frames(self, count: int) -> Iterator[tuple[float, Frame]]:
        """`count` moments evenly far apart in visual change: their place from 0 to 1, and a view faded between two."""
        changes = [view.change for view in self.views]
        whole = max(changes[-1] - changes[0], 1e-12)
        for number in range(count):
            place = number / max(count - 1, 1)
            wanted = changes[0] + place * whole
            after = min(bisect.bisect_left(changes, wanted), len(changes) - 1)
            before = max(after - 1, 0)
            gap = changes[after] - changes[before]
            share = (wanted - changes[before]) / gap if gap > 0 else 1.0
            yield place, _faded(self.views[before], self.views[after], min(max(share, 0.0), 1.0))

    def write(self, path: str | Path, *, seconds: float = SECONDS) -> None:
        """Write the film: .mp4 by PyAV, .gif and .webp by Pillow. Raises `OutputError`; nothing is left then."""
        path = Path(path)
        check_film(path)
        suffix = path.suffix.lower()
        rate = FRAMES_PER_S[suffix]
        count = max(2, round(seconds * rate))
        chart = _Chart(self.views, self.views[-1].pixels.shape[1])
        frames = (chart.under(view, place) for place, view in self.frames(count))
        ended = itertools.repeat(chart.under(self.views[-1], 1.0), round(LAST_S * rate))
        with atomic_write(path) as temporary:
            if suffix == ".mp4":
                _write_video(temporary, itertools.chain(frames, ended), rate)
            else:
                _write_animation(temporary, suffix, list(frames), rate)


def check_film(path: Path) -> None:
    """Raise `OutputError` if a film cannot be written there: before anything is painted."""
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{path} is no film's name. Use one that ends in {', '.join(SUFFIXES)}.")
    if path.suffix.lower() == ".mp4" and find_spec("av") is None:
        raise OutputError("MP4 needs PyAV: pip install 'impasto[video]'. Or write .webp or .gif, which need nothing.")
    require_writable(path)


def _before(progress: Progress) -> Progress:
    """What the target was before its first step."""
    scene = progress.scene
    start = initial_target(scene, progress.objective.config, scene.scales[0], RamStore())
    return replace(progress, scale=1, image=start)


def _faded(one: Frame, other: Frame, share: float) -> Frame:
    nearer = other if share >= 0.5 else one
    if one.pixels.shape != other.pixels.shape:
        return nearer
    mixed = one.pixels * (1 - share) + other.pixels * share
    losses = nearer.losses
    if one.losses and other.losses:
        losses = {name: one.losses[name] * (1 - share) + value * share for name, value in other.losses.items()}
    return Frame(mixed.round().astype(np.uint8), losses, nearer.label, one.change)


class _Chart:
    """The losses of all views, logarithmic, over the film's own time; what is past is drawn full."""

    def __init__(self, views: Sequence[Frame], width: int) -> None:
        self.width, self.height = width - width % 2, max(72, round(width * 0.16))
        self.letters = load_font(max(10, round(width / 48)))
        self.margin = round(self.letters.size * 0.6)
        values = [value for view in views for value in view.losses.values() if value > 0] or [1.0]
        self.low, self.high = math.log10(min(values)), math.log10(max(values))
        first, last = views[0].change, views[-1].change
        whole = max(last - first, 1e-12)
        measured = [view for view in views if view.losses]
        self.points = {
            name: [((view.change - first) / whole, view.losses[name]) for view in measured] for name in CURVES
        }

    def under(self, view: Frame, place: float) -> Image.Image:
        """A frame: the view, and the chart beneath it; both sides even, as video wants them."""
        high = view.pixels.shape[0]
        page = Image.new("RGB", (self.width, (high + self.height + 1) // 2 * 2), PAPER)
        page.paste(Image.fromarray(view.pixels), (0, 0))
        draw = ImageDraw.Draw(page)
        x, y = self.margin, high + self.margin // 2
        thick = max(1, round(self.letters.size / 8))
        for name, color in CURVES.items():
            text = f"{name} {view.losses[name]:.3g}" if view.losses else name
            draw_text(draw, (x, y), text, self.letters, color)
            x += text_width_px(f"{name} 0.0000", self.letters) + self.margin
        label = truncate_middle(view.label, self.letters, self.width - x - self.margin)
        draw_text(draw, (self.width - self.margin - text_width_px(label, self.letters), y), label, self.letters, MUTED)
        top = y + round(self.letters.size * 1.5)
        for name, color in CURVES.items():
            line = [self._at(*point, top, page.height) for point in self.points[name] if point[1] > 0]
            past = [
                self._at(*point, top, page.height) for point in self.points[name] if point[0] <= place and point[1] > 0
            ]
            faint = tuple((part + 3 * paper) // 4 for part, paper in zip(color, PAPER, strict=True))
            if len(line) > 1:
                draw.line(line, fill=faint, width=thick)
            if view.losses and view.losses[name] > 0:
                past.append(self._at(place, view.losses[name], top, page.height))
            if len(past) > 1:
                draw.line(past, fill=color, width=thick)
            if past:
                dot_x, dot_y = past[-1]
                draw.ellipse([dot_x - 2 * thick, dot_y - 2 * thick, dot_x + 2 * thick, dot_y + 2 * thick], fill=color)
        return page

    def _at(self, place: float, value: float, top: int, bottom: int) -> tuple[float, float]:
        share = (math.log10(value) - self.low) / max(self.high - self.low, 1e-9)
        room = bottom - self.margin - top
        return self.margin + place * (self.width - 2 * self.margin), bottom - self.margin - share * room


def _write_video(path: Path, frames: Iterator[Image.Image], rate: int) -> None:
    import av

    first = next(frames)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height = first.size
        stream.pix_fmt = "yuv420p"  # what every player knows
        stream.options = {"crf": "18", "preset": "medium"}
        stream.codec_context.time_base = Fraction(1, rate)
        for frame in itertools.chain([first], frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
        container.mux(stream.encode())


def _write_animation(path: Path, suffix: str, frames: list[Image.Image], rate: int) -> None:
    each_ms = round(1000 / rate)
    durations = [each_ms] * (len(frames) - 1) + [each_ms + round(1000 * LAST_S)]
    kind = suffix.removeprefix(".").upper()
    extra = {"quality": 85, "method": 4} if kind == "WEBP" else {"optimize": False}
    frames[0].save(path, format=kind, save_all=True, append_images=frames[1:], duration=durations, loop=0, **extra)
