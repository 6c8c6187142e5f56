"""A job of a studio: watch it, change it, get its picture."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from impasto_client.errors import JobCancelledError, JobFailedError, PictureError
from impasto_client.events import Cancelled, Done, Event, Failed, Progress, ending_of, progress_of
from impasto_client.http import Transport
from impasto_client.watch import Watcher, read_job, require_same_job

__all__ = ["Job"]

RECONNECT_S = 300.0
"""Seconds to wait for a studio that is restarted."""

FORMATS = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".exr": "exr",
}


class Job:
    """A picture or a clip in the queue of a studio. It stays there, and `Client.job(id)` returns it again."""

    def __init__(self, transport: Transport, view: dict[str, Any]) -> None:
        self._transport, self._first = transport, view
        self.id: int = view["id"]
        self.note: str = view["note"]

    def __repr__(self) -> str:
        return f"Job({self.id}, {self._transport.url!r})"

    def view(self) -> dict[str, Any]:
        """Return all that the studio says of the job: its options, inputs, times and result. Raises `JobError`."""
        view = read_job(self._transport, self.id)
        require_same_job(view, self._first, self._transport.url)
        return view

    def status(self) -> Progress | Done | Failed | Cancelled:
        """Return the progress of the job, or how it has ended."""
        view = self.view()
        return ending_of(view) or progress_of(view, {})

    def watch(
        self, *, previews: bool = True, every_s: float | None = None, reconnect_s: float = RECONNECT_S
    ) -> Iterator[Event]:
        """Yield events until the job has ended; the last one is `Done`, `Failed` or `Cancelled`.

        With `every_s`, the progress is repeated after that time without an event, so that the caller gets a turn. A
        lost connection is opened again. Raises `ConnectionLostError` if the studio does not answer within
        `reconnect_s`, and `JobError` if it no longer has the job.
        """
        return Watcher(self._transport, self.view(), previews, reconnect_s).events(every_s)

    def wait(self, timeout_s: float | None = None) -> Done:
        """Wait until the picture is painted. Raises `JobFailedError`, `JobCancelledError` or `TimeoutError`."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        for event in self.watch(previews=False, every_s=None if timeout_s is None else 0.2):
            if isinstance(event, Done):
                return event
            if isinstance(event, Failed):
                raise JobFailedError(f"Job {self.id} failed: {event.message}")
            if isinstance(event, Cancelled):
                raise JobCancelledError(f"Job {self.id} was cancelled. Continue it with retry().")
            if deadline_s is not None and time.monotonic() > deadline_s:
                raise TimeoutError(f"Job {self.id} has not ended after {timeout_s} s. It continues in the studio.")
        raise AssertionError("watch() ends with an ending")

    def preview(self) -> bytes:
        """Return the picture as it is now, a small JPEG. Raises `RequestError` before the first step."""
        return self._transport.fetch("GET", f"/api/jobs/{self.id}/preview")

    def result(self, format: str = "") -> bytes:
        """Wait for the picture and return it as a file: png (default), jpeg, webp, tiff or exr, with its recipe inside.

        A clip is returned as the file it is, an MP4 by default.
        """
        self.wait()
        query: dict[str, Any] = {"format": format} if format else {}
        return self._transport.fetch("GET", f"/api/jobs/{self.id}/result", **query)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Wait for the picture and write it to a file; the suffix is the format. It appears when it is complete."""
        chosen = Path(path)
        suffix, is_clip = chosen.suffix.lower(), self._first.get("video") is not None
        if not is_clip and suffix not in FORMATS:
            raise PictureError(f"{chosen} has no suffix of a picture. Use one of {', '.join(FORMATS)}.")
        if is_clip:
            self.wait()
            stored = self.view()["result"]["suffix"]
            if suffix != stored:
                raise PictureError(f"{chosen} would have another format than the clip. Use the suffix {stored}.")
        target = Path(os.path.realpath(chosen))
        temporary = target.with_name(f".impasto-{secrets.token_hex(8)}{target.suffix}")
        content = self.result("" if is_clip else FORMATS[suffix])
        try:
            temporary.write_bytes(content)
            os.replace(temporary, target)
        except OSError as error:
            raise PictureError(f"{chosen} could not be written: {error.strerror or error}. Choose another.") from error
        finally:
            if temporary.exists():
                temporary.unlink()
        return chosen

    def set_alpha(self, alpha: float) -> None:
        """Change α after the current step."""
        self._post("alpha", {"alpha": alpha})

    def cancel(self) -> None:
        """Cancel the job: at once if it waits, after its current step if it runs."""
        self._post("cancel")

    def pause(self) -> None:
        """Pause the job after its current step."""
        self._post("pause")

    def resume(self) -> None:
        """Continue a paused job."""
        self._post("resume")

    def retry(self) -> None:
        """Put a failed or cancelled job back into the queue. It continues where it stopped."""
        self._post("retry")

    def remove(self) -> None:
        """Remove the job and its picture from the studio. It must not be running."""
        self._transport.fetch("DELETE", f"/api/jobs/{self.id}")

    def _post(self, action: str, body: dict[str, Any] | None = None) -> None:
        self._transport.call("POST", f"/api/jobs/{self.id}/{action}", body)
