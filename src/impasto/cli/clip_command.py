"""One clip on the command line: check outputs first, show progress, obey Ctrl-C, lose no frame."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from impasto.cli.clip_progress import ClipProgress
from impasto.cli.console import console
from impasto.cli.flags import name_flags
from impasto.cli.signals import SignalCatcher, catch_signals
from impasto.clips.api import frame_folder_of
from impasto.clips.chain import FrameDone
from impasto.clips.clip_run import ClipRun
from impasto.clips.preview import draw_preview
from impasto.core.method import Progress
from impasto.errors import FrameError, ImpastoError, OutputError
from impasto.process import keep_freed_memory
from impasto.run import Run
from impasto.run.observers import unused_path

__all__ = ["ClipCommand"]


@dataclass
class ClipCommand:
    """A clip on the command line, written to `output`, or under an unused name like `default`.

    `prepare` builds its run for the path to write.
    """

    prepare: Callable[[Path], ClipRun]
    output: Path | None
    default: str
    resume: bool = False
    keep_frames: bool = False
    json_output: bool = False
    quiet: bool = False

    def execute(self, *, preview: bool = False) -> int:
        """Paint the clip, or a preview of it.

        Returns 0, 1 if a frame cannot be painted, or 128 plus the number of the signal that stopped it; what is done is
        written then.
        """
        keep_freed_memory()
        output = self._path()
        with catch_signals() as catcher:
            run = self.prepare(output)
            if preview:
                return self._preview(run, output)
            try:
                return self._paint(run, output, catcher)
            finally:
                run.discard()

    def _path(self) -> Path:
        if self.output is not None:
            return self.output
        path = Path(self.default)
        return path if self.resume and frame_folder_of(path).exists() else unused_path(path)

    def _paint(self, run: ClipRun, output: Path, catcher: SignalCatcher) -> int:
        failure: ImpastoError | None = None
        with ClipProgress(run, quiet=self.quiet) as view:
            view.announce()

            def defer_signals(run: Run, progress: Progress) -> None:
                catcher.deferring = True

            try:
                with contextlib.closing(run.steps([defer_signals, view.on_step])) as steps:
                    for done in steps:
                        if isinstance(done, FrameDone):
                            view.on_frame(done)
                        if catcher.signal:
                            break
            except (FrameError, OutputError) as error:
                failure = error
        return self._finish(run, output, catcher, failure)

    def _finish(self, run: ClipRun, output: Path, catcher: SignalCatcher, failure: ImpastoError | None) -> int:
        """Write what is painted. The frames are kept if any is missing."""
        count, wanted = 0, len(run.selection.frames)
        try:
            count = run.write(output)
        except OutputError as error:
            raise OutputError(f"{error} The frames are in {run.folder.path}; --resume writes them.") from error
        is_whole = run.is_complete
        if is_whole and not self.keep_frames:
            run.folder.remove()
        self._print(run, output if count else None, count)
        if failure is not None:
            place = f", and in {output}" if count else ""
            console.print(f"impasto: {name_flags(str(failure))} {count} of {wanted} frames are done{place}.")
            return 1
        if not is_whole:
            console.print(
                f"impasto: stopped after {count} of {wanted} frames, which are in {output}; --resume continues."
                if count
                else "impasto: stopped before the first frame was done"
            )
        return 128 + catcher.signal if catcher.signal else 0

    def _preview(self, run: ClipRun, output: Path) -> int:
        path = unused_path(output.with_suffix(".preview.png"))
        with ClipProgress(run, quiet=self.quiet) as view:
            draw_preview(run, path, [view.on_step])
        self._print(run, path, 0)
        return 0

    def _print(self, run: ClipRun, path: Path | None, count: int) -> None:
        if self.json_output:
            height, width = run.first.size
            report = {"output": None if path is None else str(path), "width": width, "height": height, "frames": count}
            print(json.dumps(report | {"seconds": float(run.selection.end - run.selection.start)}))
        elif path is not None and not self.quiet:
            print(path)
