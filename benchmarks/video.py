"""Paint clips, and measure flicker, style, time and drift.

    python benchmarks/video.py painting.jpg --photo photo.jpg [--clip FILE.mp4 ...] --output results/
        [--size 256] [--frames 12] [--start 0] [--still 120] [--option consistency long] [--json]

The photo becomes a clip whose flow is known exactly: it is panned, zoomed and turned, and a square moves over it. For
other clips the flow is measured. Each clip is painted three times: as a clip; frame by frame from noise with one seed
(noise); and frame by frame, starting from the picture before without its motion (start). The warping error is the mean
square of what changes between two pictures besides the motion, where both frames show the same part of the scene:
`short` from one frame to the next, `long` over five. `--still` paints a photo with noise that many times, for the drift
of its colors in Oklab. A sheet for each clip has some of its frames, and the differences of neighbors.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import impasto
from impasto import images
from impasto.clips import ClipWriter, open_clip
from impasto.clips.api import video_steps
from impasto.clips.flow import Field, find_confidence, find_flow, warp
from impasto.clips.frames import Frame, to_frame, to_tensor
from impasto.config.video import VideoOptions
from impasto.core.image import resize
from impasto.images.oklab import to_oklab
from impasto.render.grid import draw_grid
from impasto.samples.sources import SAMPLE, resolve_picture

SHORT, LONG = 1, 5
RATE = 25


@dataclass(frozen=True)
class Scene:
    """Frames, and where they come from: `flow(now, before)` with its confidence."""

    name: str
    frames: Sequence[Frame]
    transforms: Sequence[NDArray[Any]] = ()
    covers: Sequence[NDArray[np.bool_]] = ()

    def flow(self, now: int, before: int) -> tuple[Field, Field]:
        """Return the flow from a frame to an earlier one, and its confidence."""
        if not self.transforms:
            to_before = find_flow(self.frames[now], self.frames[before])
            return to_before, find_confidence(to_before, find_flow(self.frames[before], self.frames[now]))
        height, width = self.frames[0].shape[:2]
        y, x = np.mgrid[:height, :width].astype(np.float64)
        matrix = self.transforms[before] @ np.linalg.inv(self.transforms[now])
        there = np.einsum("ij,jhw->ihw", matrix, np.stack([x, y, np.ones_like(x)]))
        flow = np.stack([there[0] - x, there[1] - y], axis=-1).astype(np.float32)
        column, row = np.rint(there[0]).astype(int), np.rint(there[1]).astype(int)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        covered = self.covers[now] | (inside & self.covers[before][row.clip(0, height - 1), column.clip(0, width - 1)])
        return flow, np.asarray(inside & ~covered, np.float32)


def load_photo(photo: str, size_px: int) -> Frame:
    """Load a file, or `sample:NAME`."""
    return to_frame(images.load(resolve_picture(photo, size_px), long_side_px=size_px).pixels)


def move_photo(photo: str, size_px: int, count: int) -> Scene:
    """Build a clip from a photo, with known motion and a square that passes over it."""
    pixels = load_photo(photo, 2 * size_px)
    tall, wide = pixels.shape[:2]
    height, width = tall // 2, wide // 2
    frames, transforms, covers = [], [], []
    square = cv2.resize(pixels[: tall // 3, : tall // 3], (height // 3, height // 3), interpolation=cv2.INTER_AREA)
    for number in range(count):
        turn = cv2.getRotationMatrix2D((wide / 2, tall / 2), 0.4 * number, 0.9 + 0.006 * number)
        turn[:, 2] += (width / 2 - wide / 2 - 2.0 * number, height / 2 - tall / 2 + 0.7 * number)
        frame = cv2.warpAffine(pixels, turn, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        left, top = 10 + 4 * number, height // 3
        frame[top : top + square.shape[0], left : left + square.shape[1]] = square[:, : max(0, width - left)]
        cover = np.zeros((height, width), bool)
        cover[top - 2 : top + square.shape[0] + 2, max(0, left - 2) : left + square.shape[1] + 2] = True
        frames.append(np.asarray(frame, np.uint8))
        transforms.append(np.vstack([turn, [0, 0, 1]]))
        covers.append(cover)
    return Scene(Path(photo.removeprefix(SAMPLE)).stem, frames, transforms, covers)


def cut_clip(path: Path, size_px: int, count: int, start_s: float) -> Scene:
    """Read frames of a clip at a size."""
    clip = open_clip(path)
    first = next(number for number, time_s in enumerate(clip.times) if time_s >= start_s)
    frames = []
    for pixels in clip.frames(first, min(first + count, clip.frame_count)):
        height, width = pixels.shape[2:]
        factor = size_px / max(height, width)
        frames.append(to_frame(resize(pixels, round(height * factor), round(width * factor)).clamp(0, 1)))
    return Scene(path.stem, frames)


@dataclass
class Painted:
    """Pictures of one way to paint, with their losses and seconds."""

    pictures: list[Frame]
    style: list[float]
    content: list[float]
    seconds: list[float]


def paint_clip(scene: Scene, style: str, size_px: int, options: dict[str, Any]) -> Painted:
    """Paint frames as a clip."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "clip.mkv")
        with ClipWriter(source, scene.frames[0].shape[:2], Fraction(RATE), lossless=True) as writer:
            for frame in scene.frames:
                writer.write(frame)
        done = list(video_steps(source, style, Path(folder, "out.mkv"), size=size_px, cuts=(), **options))
    after = [frame for frame in done[1:] if frame.losses]
    return Painted(
        [frame.picture for frame in done],
        [frame.losses["style"] for frame in after],
        [frame.losses["content"] for frame in after],
        [frame.seconds for frame in after],
    )


def paint_frames(scene: Scene, style: str, size_px: int, first: Frame | None, options: dict[str, Any]) -> Painted:
    """Paint frame by frame: from noise, or from the picture before, which is `first` for the second frame."""
    painted = Painted([] if first is None else [first], [], [], [])
    for frame in scene.frames[len(painted.pictures) :]:
        began = time.perf_counter()
        start: dict[str, Any] = {}
        if first is not None:
            steps = VideoOptions().frame_iterations
            start = {"init": to_tensor(painted.pictures[-1]), "scales": 1, "iterations": steps}
        result = impasto.stylize(frame, style, size=size_px, **start, **options)
        painted.pictures.append(to_frame(result.image))
        painted.style.append(result.losses["style"])
        painted.content.append(result.losses["content"])
        painted.seconds.append(time.perf_counter() - began)
    return painted


def warping_error(scene: Scene, pictures: Sequence[Frame], distance: int) -> float:
    """Return the mean square of changes besides the motion, over all pairs of frames."""
    errors = []
    for now in range(distance, len(pictures)):
        flow, confidence = scene.flow(now, now - distance)
        before = warp(pictures[now - distance].astype(np.float32), flow, smooth=False)
        change = np.square((pictures[now] - before) / 255).mean(axis=-1)
        errors.append((change * confidence).sum() / max(confidence.sum(), 1))
    return float(np.mean(errors))


def measure(scene: Scene, style: str, size_px: int, options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Paint a scene in three ways, and compare them."""
    chain = paint_clip(scene, style, size_px, options)
    clip_options = VideoOptions.model_fields
    picture_options = {name: value for name, value in options.items() if name not in clip_options}
    noise = paint_frames(scene, style, size_px, None, picture_options)
    start = paint_frames(scene, style, size_px, chain.pictures[0], picture_options)
    found: dict[str, Any] = {"clip": scene.name, "frames": len(scene.frames)}
    for name, distance in (("short", SHORT), ("long", LONG)):
        error = warping_error(scene, chain.pictures, distance)
        found[name] = error
        found[f"{name}_noise"] = warping_error(scene, noise.pictures, distance) / error
        found[f"{name}_start"] = warping_error(scene, start.pictures, distance) / error
    found["style"] = statistics.mean(chain.style) / statistics.mean(noise.style[1:])
    found["content"] = statistics.mean(chain.content) / statistics.mean(noise.content[1:])
    found["seconds"] = statistics.median(chain.seconds)
    found["seconds_noise"] = statistics.median(noise.seconds)
    draw(scene, {"clip": chain, "noise": noise, "start": start}, folder / f"{scene.name}.png")
    return found


def draw(scene: Scene, ways: dict[str, Painted], path: Path) -> None:
    """Draw frames of each way, and their differences from the frame before."""
    shown = np.linspace(1, len(scene.frames) - 1, min(5, len(scene.frames) - 1)).astype(int)
    rows = [[to_tensor(scene.frames[number]) for number in shown]]
    for painted in ways.values():
        rows.append([to_tensor(painted.pictures[number]) for number in shown])
        changes = [painted.pictures[n].astype(np.float32) - painted.pictures[n - 1] for n in shown]
        rows.append([to_tensor(np.asarray((128 + change).clip(0, 255), np.uint8)) for change in changes])
    labels = ["frames", *(label for name in ways for label in (name, "change"))]
    images.save(path, draw_grid(rows, row_labels=labels, column_labels=[str(number + 1) for number in shown]))


def measure_drift(photo: str, style: str, size_px: int, count: int, options: dict[str, Any]) -> dict[str, Any]:
    """Paint a still photo with noise `count` times, and return how far its colors drift."""
    pixels = load_photo(photo, size_px)
    random = np.random.default_rng(0)
    frames = [np.asarray((pixels + random.normal(0, 3, pixels.shape)).clip(0, 255), np.uint8) for _ in range(count)]
    painted = paint_clip(Scene("still", frames), style, size_px, options).pictures
    first, last = (to_oklab(to_tensor(picture).flatten(2))[0] for picture in (painted[0], painted[-1]))
    return {
        "frames": count,
        "changed": float((painted[0] != painted[-1]).any(axis=-1).mean()),
        "mean": float((last.mean(dim=1) - first.mean(dim=1)).abs().max()),
        "deviation": float((last.std(dim=1) - first.std(dim=1)).abs().max()),
    }


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("style")
    parser.add_argument("--photo")
    parser.add_argument("--clip", type=Path, nargs="*", default=[])
    parser.add_argument("--output", type=Path, default=Path("results"))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--start", type=float, default=0.0)
    parser.add_argument("--still", type=int, default=0)
    parser.add_argument("--option", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    options = {name: json.loads(value) if value[0] in "[{0123456789tf" else value for name, value in given.option}
    scenes = [cut_clip(path, given.size, given.frames, given.start) for path in given.clip]
    if given.photo is not None:
        scenes.append(move_photo(given.photo, given.size, given.frames))
    for scene in scenes:
        report(measure(scene, given.style, given.size, options, given.output), as_json=given.json)
    if given.still and given.photo is not None:
        report(measure_drift(given.photo, given.style, given.size, given.still, options), as_json=given.json)


def report(found: dict[str, Any], *, as_json: bool) -> None:
    """Print one result."""
    texts = (f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in found.items())
    print(json.dumps(found) if as_json else "  ".join(texts), flush=True)


if __name__ == "__main__":
    main()
