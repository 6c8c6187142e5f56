"""The shots of the studio's clips: found once for each, in the background, and kept beside the files."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from impasto.clips import Clip
from impasto.clips.timing import Selection, select
from impasto.config.video import VideoOptions
from impasto.errors import FrameError
from impasto.files import atomic_write
from impasto.studio.clips import Clips, name_errors
from impasto.studio.schemas import ShotsView, ShotView

__all__ = ["ClipShots"]


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
        found = self._read(sha256)
        if found is None:
            task = self.clips.background.start(f"shots {sha256}", lambda: self._find(sha256, clip))
            if task.done():
                task.result()
            return ShotsView(complete=False, frames_done=self._frames_done.get(sha256, 0), shots=[], problem="")
        return _view(clip, found)

    def cuts(self, sha256: str) -> tuple[float, ...] | None:
        """Return the times of the cuts if they were found, in seconds."""
        found = self._read(sha256)
        return tuple(found["cuts"]) if found is not None and not found["problem"] else None

    def _read(self, sha256: str) -> dict[str, Any] | None:
        with contextlib.suppress(FileNotFoundError):
            found: dict[str, Any] = json.loads((self.clips.folder / f"{sha256}.json").read_text())
            return found
        return None

    def _find(self, sha256: str, clip: Clip) -> None:
        from impasto.clips.shots import find_cuts  # needs the optional OpenCV

        def on_frame(number: int) -> None:
            self.clips.background.check()
            self._frames_done[sha256] = number + 1

        selection, problem = select(clip, VideoOptions()), ""
        try:
            with name_errors(clip.path):
                cuts = find_cuts(clip, selection, on_frame)
        except FrameError as error:
            selection, problem = _until(selection, error.number), str(error)
            cuts = find_cuts(clip, selection, on_frame)
        found = {"cuts": cuts, "frames": len(selection.frames), "problem": problem}
        self.clips.folder.mkdir(exist_ok=True)
        with atomic_write(self.clips.folder / f"{sha256}.json") as temporary:
            temporary.write_text(json.dumps(found))
        self._frames_done.pop(sha256, None)


def _until(selection: Selection, frame_count: int) -> Selection:
    return selection._replace(frames=selection.frames[:frame_count])


def _view(clip: Clip, found: dict[str, Any]) -> ShotsView:
    from impasto.clips.shots import find_shots

    selection = _until(select(clip, VideoOptions()), found["frames"])
    times = [*clip.times, clip.duration]
    shots = [
        ShotView(first=shot[0], last=shot[-1], start_s=float(times[shot[0]]), end_s=float(times[shot[-1] + 1]))
        for shot in (find_shots(selection, found["cuts"]) if selection.frames else ())
    ]
    return ShotsView(complete=True, frames_done=len(selection.frames), shots=shots, problem=found["problem"])
