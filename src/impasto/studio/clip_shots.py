"""The shots of the studio's clips: found once for each, in the background, and kept beside the files."""

from __future__ import annotations

import contextlib
import json
from concurrent.futures import Future
from typing import NamedTuple

from impasto.clips import Clip
from impasto.clips.shots import find_cuts, find_shots
from impasto.clips.timing import Selection, select
from impasto.config.video import VideoOptions
from impasto.errors import FrameError
from impasto.files import atomic_write
from impasto.studio.clip_schemas import ShotsView, ShotView
from impasto.studio.clips import Clips, name_errors

__all__ = ["ClipShots"]


class FoundCuts(NamedTuple):
    """The times of the cuts of a clip in seconds, and the number of frames before the first damaged one, if any."""

    cuts: tuple[float, ...]
    frame_count: int
    problem: str


class ClipShots:
    """Finds the shots of clips, which decodes all of their frames."""

    def __init__(self, clips: Clips) -> None:
        self.clips = clips
        self._frames_done: dict[str, int] = {}

    def view(self, sha256: str) -> ShotsView:
        """Return the shots of a clip if they were found; otherwise begin, and return the progress.

        Raises `JobError` if the clip does not exist, and what ended the search.
        """
        clip = self.clips.open(sha256)
        task = None if self._read(sha256) is not None else self._start(sha256, clip)
        found = self._read(sha256) if task is None or task.done() else None
        if found is not None:
            return _view(clip, found)
        if task is not None and task.done():
            task.result()
        return ShotsView(complete=False, frames_done=self._frames_done.get(sha256, 0), shots=[], problem="")

    def find(self, sha256: str) -> FoundCuts:
        """Return the cuts of a clip, and wait until they are found. Raises `ImpastoError`."""
        found = self._read(sha256)
        return found if found is not None else self._start(sha256, self.clips.open(sha256)).result()

    def _start(self, sha256: str, clip: Clip) -> Future[FoundCuts]:
        return self.clips.background.start(f"shots {sha256}", lambda: self._find(sha256, clip))

    def _read(self, sha256: str) -> FoundCuts | None:
        with contextlib.suppress(FileNotFoundError):
            cuts, *rest = json.loads((self.clips.folder / f"{sha256}.json").read_text())
            return FoundCuts(tuple(cuts), *rest)
        return None

    def _find(self, sha256: str, clip: Clip) -> FoundCuts:
        count = 0

        def on_frame(number: int) -> None:
            nonlocal count
            self.clips.background.check()
            count = self._frames_done[sha256] = number + 1

        cuts = find_cuts(clip, select(clip, VideoOptions()), on_frame)
        found = FoundCuts(cuts, count, self._explain_damage(clip, count))
        self.clips.folder.mkdir(exist_ok=True)
        with atomic_write(self.clips.folder / f"{sha256}.json") as temporary:
            temporary.write_text(json.dumps(found))
        self._frames_done.pop(sha256, None)
        return found

    def _explain_damage(self, clip: Clip, number: int) -> str:
        """Return what is wrong with a frame; nothing if there is no such frame."""
        try:
            with name_errors(clip.path):
                next(clip.frames(number, min(number + 1, clip.frame_count)), None)
        except FrameError as error:
            return str(error)
        return ""


def _until(selection: Selection, frame_count: int) -> Selection:
    return selection._replace(frames=selection.frames[:frame_count])


def _view(clip: Clip, found: FoundCuts) -> ShotsView:
    selection = _until(select(clip, VideoOptions()), found.frame_count)
    times = [*clip.times, clip.duration]
    shots = [
        ShotView(first=shot[0], last=shot[-1], start_s=float(times[shot[0]]), end_s=float(times[shot[-1] + 1]))
        for shot in (find_shots(selection, found.cuts) if selection.frames else ())
    ]
    return ShotsView(complete=True, frames_done=len(selection.frames), shots=shots, problem=found.problem)
