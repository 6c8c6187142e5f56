"""One clip to paint: its frames, the run of each, and the clip that they become."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from impasto import __version__, images
from impasto.clips.chain import Chain, FrameDone
from impasto.clips.clip import Clip
from impasto.clips.frame_folder import FrameFolder, require_room_for_frames
from impasto.clips.frames import Frame, FrameReader, to_frame, to_tensor
from impasto.clips.guide import Guide
from impasto.clips.masks import ClipMasks
from impasto.clips.timing import Selected, Selection
from impasto.clips.writing import ClipWriter
from impasto.config import Config, Inputs
from impasto.config.roles import pictures_by_role
from impasto.config.video import VideoOptions
from impasto.core.method import Progress
from impasto.core.tensor_store import RamStore
from impasto.images import color
from impasto.run import Observer, Run

__all__ = ["NOTE", "ClipRun"]

NOTE = "impasto"
"""Name of the recipe among the metadata of a clip."""

T = TypeVar("T")


@dataclass(eq=False)
class ClipRun:
    """A clip to paint, frame by frame, into a folder.

    `first` is the run of the first frame, whose options, styles, plan and network serve all. `part` are the positions
    in `selection` of the frames to paint, whole shots; all by default.
    """

    clip: Clip
    selection: Selection
    masks: ClipMasks
    first: Run
    video: VideoOptions
    folder: FrameFolder
    part: range | None = None
    chain: Chain | None = field(default=None, init=False)

    @cached_property
    def description(self) -> dict[str, Any]:
        """Everything that the pictures depend on, for the recipe, and to compare with an interrupted run."""
        run = self.first
        opened = run.opened_inputs.model_copy(update={"content": self.clip, **self.masks.sources})
        return {
            "version": __version__,
            "inputs": {
                role: {"name": source.name, "sha256": source.sha256}
                for role, source in pictures_by_role(opened).items()
            },
            "config": run.config.model_dump(mode="json"),
            "run": run.options.model_dump(mode="json"),
            "plan": run.plan.model_dump(mode="json"),
            "video": self.video.model_dump(mode="json"),
            "weights": run.encoder.weights_sha256,
        }

    def steps(self, observers: Sequence[Observer] = ()) -> Generator[Progress | FrameDone, None, None]:
        """Paint what is missing in the folder: yield the steps of each frame, and each frame that is done, in order.

        Those of a loop's seam come a second time. `observers` see the steps. Close the generator to stop. Raises
        `FrameError` at a frame that cannot be read, `OutputError`.
        """
        # A part that does not move may still come under another mask.
        video = self.video.model_copy(update={"still": False}) if self.masks.move else self.video
        self.chain = Chain(self._run_of, video, self.folder, observers)
        yield from self.chain.paint(_ahead(self._decode()))
        if self.video.loop and self.part is None:
            yield from self.chain.close_loop(self._decode(), len(self.selection.frames))

    def frames(self, observers: Sequence[Observer] = ()) -> Generator[FrameDone, None, None]:
        """Paint what is missing, and yield only the frames: see `steps`."""
        with contextlib.closing(self.steps(observers)) as steps:
            yield from (done for done in steps if isinstance(done, FrameDone))

    @property
    def numbers(self) -> range:
        """The numbers of the frames to paint, from 1."""
        part = range(len(self.selection.frames)) if self.part is None else self.part
        return range(part.start + 1, part.stop + 1)

    @property
    def _missing(self) -> list[int]:
        return [number for number in self.numbers if not self.folder.file(f"{number:06}").exists()]

    def require_room(self) -> None:
        """Raise `OutputError` if the disk has no room for the frames that are missing."""
        if missing := len(self._missing):
            require_room_for_frames(self.folder.path, missing, self.first.size, self.video)

    def estimate_seconds(self) -> float:
        """Estimate the time for the frames that are missing, if they are one shot."""
        missing = self._missing
        start = to_frame(images.load(self.first.inputs.content, frame=self.first.sizes.frame).pixels)
        nothing = np.zeros(start.shape[:2], np.float32)
        frame = self._run_of(self.selection.frames[0], start, Guide(start, nothing, None), {})
        each_s, first_s = frame.estimate().seconds, self.first.estimate().seconds
        return sum(first_s if number == self.numbers[0] else each_s for number in missing)

    def discard(self) -> None:
        """Delete the folder of frames unless it holds one."""
        if not self.folder.count:
            self.folder.remove()

    @property
    def is_complete(self) -> bool:
        """True if every frame is painted, those of a loop's seam too."""
        is_closed = self.chain is not None and self.chain.is_closed
        return self._painted_count == len(self.selection.frames) and (is_closed or not self.video.loop)

    @property
    def _painted_count(self) -> int:
        """The number of frames that are painted, up to the first one that is missing."""
        numbers = range(1, len(self.selection.frames) + 1)
        return next((number - 1 for number in numbers if not self.folder.file(f"{number:06}").exists()), len(numbers))

    def _decode(self) -> Iterator[tuple[int, Selected, Frame]]:
        """Yield the frames to paint, with their numbers from 1, at their size."""
        reader = FrameReader(self.clip)
        for number in self.numbers:
            selected = self.selection.frames[number - 1]
            pixels = images.load(reader.read(selected.source), frame=self.first.sizes.frame).pixels
            yield number, selected, to_frame(pixels)

    def _run_of(self, selected: Selected, frame: Frame, guide: Guide | None, changed: Mapping[str, Any]) -> Run:
        """Build the run of a frame: from noise, or a few steps from its guide."""
        pictures = {"content": to_tensor(frame), **self.masks.at(selected.source)}
        if guide is None:
            return self._build(pictures, changed)
        reference = guide.reference(self.video.temporal_weight)
        if self.first.config.color == "luminance":  # the colors come back at the end
            reference = replace(reference, pixels=color.to_grayscale(RamStore(), reference.pixels))
        steps = {"init": "image", "scales": 1, "iterations": self.video.frame_iterations, "effort": "normal"}
        run = self._build(pictures | {"init": reference.pixels}, {**changed, **steps})
        return replace(run, reference=reference)

    def _build(self, pictures: Mapping[str, Any], changed: Mapping[str, Any]) -> Run:
        first = self.first
        inputs: Inputs = first.opened_inputs.model_copy(update=dict(pictures))
        config = Config(**(first.config.model_dump() | dict(changed)))
        return Run(inputs, config, first.options, recorded_plan=first.plan, cache=first.cache)

    def write(self, path: Path) -> int:
        """Write the frames that are painted so far as a clip with its sound, and return their number.

        Raises `OutputError`.
        """
        chosen, first = self.selection, self.first
        count = self._painted_count
        if not count:
            return 0
        end = chosen.end if count == len(chosen.frames) else chosen.start + chosen.frames[count].time
        with ClipWriter(
            path,
            first.size,
            chosen.rate,
            time_base=self.clip.time_base,
            colors=self.clip.colors,
            sound_from=self.clip if self.clip.sounds else None,
            start=chosen.start,
            end=end,
            codec=self.video.codec,
            crf=self.video.crf,
            lossless=self.video.lossless,
            metadata={NOTE: json.dumps(self.description)},
        ) as writer:
            for number, selected in enumerate(chosen.frames[:count], start=1):
                picture = self.folder.read(f"loop_{number:06}")
                picture = self.folder.read(f"{number:06}") if picture is None else picture
                assert picture is not None
                writer.write(picture, selected.time)
        return count


def _ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield items, while the next one is computed in another thread."""
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, iterator, None)
        while (item := waiting.result()) is not None:
            waiting = pool.submit(next, iterator, None)
            yield item
