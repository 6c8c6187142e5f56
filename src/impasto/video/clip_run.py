"""One clip to paint: its frames, the run of each, and the clip that they become."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from impasto import __version__, images
from impasto.config import Config, Inputs, Plan, RunOptions
from impasto.config.video import VideoOptions
from impasto.core.framing import Frame as Crop
from impasto.core.framing import frame_content
from impasto.core.tensor_store import RamStore
from impasto.run import ModelCache, Observer, Run
from impasto.run.loop import StopCondition
from impasto.video.chain import Chain, FrameDone
from impasto.video.clip import Clip
from impasto.video.flow import Frame
from impasto.video.frame_folder import FrameFolder
from impasto.video.guide import Guide, to_frame, to_tensor
from impasto.video.masks import ClipMasks
from impasto.video.timing import Selected, Selection, select

__all__ = ["ClipRun"]

T = TypeVar("T")


@dataclass(eq=False)
class ClipRun:
    """A clip to paint. `inputs` holds the styles, the masks and the weights; its content is the clip's name."""

    clip: Clip
    inputs: Inputs
    config: Config
    options: RunOptions
    video: VideoOptions
    folder: FrameFolder
    recorded_plan: Plan | None = None
    cache: ModelCache = field(default_factory=lambda: ModelCache(cache_measurements=True))

    @cached_property
    def crop(self) -> Crop:
        """The size to paint at. Raises `ConfigError`."""
        return frame_content(self.clip.size, self.config)

    @cached_property
    def selection(self) -> Selection:
        """The frames to paint. Raises `VideoError`."""
        return select(self.clip, self.video)

    @cached_property
    def masks(self) -> ClipMasks:
        """The masks of each frame. Raises `ImageError`, `VideoError`."""
        return ClipMasks(self.inputs, self.clip, self.selection.frames[-1])

    @cached_property
    def plan(self) -> Plan:
        """The plan of all frames."""
        return self.recorded_plan or self._build_run(self.inputs.model_copy(update={"content": self._blank}), {}).plan

    def frames(
        self, observers: Sequence[Observer] = (), stop: StopCondition | None = None
    ) -> Generator[FrameDone, None, None]:
        """Paint what is missing in the folder, and yield all frames in order, those of a loop's seam a second time.

        `observers` see the steps of each frame, and `stop` ends the clip at the frame before. Raises `FrameError` at a
        frame that cannot be read, `OutputError`.
        """
        chain = Chain(self._run_of, self.video, self.folder, observers, stop)
        count = 0
        for done in chain.paint(_ahead(self._decode())):
            count = done.number
            yield done
        if self.video.loop and count == len(self.selection.frames):
            yield from chain.close_loop(self._decode(), count)

    def _decode(self) -> Iterator[tuple[Selected, Frame]]:
        """Yield the frames to paint, at their size. Each is decoded once."""
        wanted = self.selection.frames
        position, last = wanted[0].source, wanted[-1].source + 1
        decoded = enumerate(self.clip.frames(position, last), start=position)
        number, pixels = next(decoded)
        for selected in wanted:
            while number < selected.source:
                number, pixels = next(decoded)
            yield selected, to_frame(images.load(pixels, frame=self.crop).pixels)

    def _run_of(self, selected: Selected, frame: Frame, guide: Guide | None, changed: Mapping[str, Any]) -> Run:
        inputs = self.inputs.model_copy(update={"content": to_tensor(frame), **self.masks.at(selected.source)})
        if guide is None:
            return self._build_run(inputs, changed, self.plan)
        reference, store = guide.reference(self.video.temporal_weight), RamStore()
        if self.config.color == "luminance":  # colors come back at the end
            reference = reference.in_gray(store)
        steps = {"init": "image", "scales": 1, "iterations": self.video.frame_iterations}
        run = self._build_run(inputs.model_copy(update={"init": reference.pixels}), changed | steps, self.plan)
        run.reference = reference
        return run

    def _build_run(self, inputs: Inputs, changed: Mapping[str, Any], plan: Plan | None = None) -> Run:
        config = Config(**(self.config.model_dump() | dict(changed)))
        return Run(inputs, config, self.options, recorded_plan=plan, cache=self.cache)
