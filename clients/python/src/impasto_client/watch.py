"""The events of a job, from a stream that is opened again whenever it breaks."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

from impasto_client.errors import ConnectionLostError, JobError, NoStudioError, RequestError, StudioError
from impasto_client.events import Event, Preview, ending_of, progress_of
from impasto_client.http import EventStream, Transport

__all__ = ["Watcher", "read_job", "require_same_job"]

SILENCE_S = 50.0
"""Seconds without a byte after which the connection counts as lost. An idle studio sends a comment every 15 s."""

FIRST_PAUSE_S, MAX_PAUSE_S = 0.2, 5.0
"""Pauses between attempts to reconnect."""


class Watcher:
    """Follows one job, also when the studio is restarted, as long as it has the same queue.

    Raises `ConnectionLostError` if it does not answer again within `reconnect_s`.
    """

    def __init__(self, transport: Transport, first: dict[str, Any], previews: bool, reconnect_s: float) -> None:
        self.transport, self.view, self.previews, self.reconnect_s = transport, first, previews, reconnect_s
        self.losses: dict[str, float] = {}
        self._last_event_id = ""
        self._items: queue.Queue[Any] = queue.Queue()
        self._stream: EventStream | None = None
        self._closed = threading.Event()

    def events(self, every_s: float | None) -> Iterator[Event]:
        """Yield the events of the job until it has ended; the progress again after `every_s` without any event."""
        yield progress_of(self.view, self.losses)
        thread = threading.Thread(target=self._follow, name="impasto-events", daemon=True)
        thread.start()
        try:
            while True:
                try:
                    item = self._items.get(timeout=every_s)
                except queue.Empty:
                    item = progress_of(self.view, self.losses)
                if isinstance(item, Exception):
                    raise item
                if item is None:
                    return
                yield item
        finally:
            self.close()

    def close(self) -> None:
        """End the thread that reads the stream."""
        self._closed.set()
        if self._stream is not None:
            self._stream.close()

    def _follow(self) -> None:
        """Read the stream, again after each loss of the connection, and put the events of the job into the queue."""
        try:
            while not (self._closed.is_set() or self._put_ending()):
                try:
                    self._read_stream()
                except (ConnectionLostError, NoStudioError) as error:
                    self._reconnect(error)
        except Exception as error:  # raised again in the thread that waits for events
            self._items.put(error)

    def _read_stream(self) -> None:
        """Put the events of one stream into the queue, until it or the job ends."""
        self._stream = self.transport.events(self.view["id"], self._last_event_id, SILENCE_S)
        try:
            for number, kind, data in self._stream:
                self._last_event_id = number or self._last_event_id
                if self._closed.is_set() or self._handle(kind, data):
                    return
        finally:
            self._stream.close()
        if not self._closed.is_set():
            raise ConnectionLostError(f"The studio at {self.transport.url} was closed. Start it again: impasto studio")

    def _handle(self, kind: str, data: dict[str, Any]) -> bool:
        """Put one event into the queue. Return True if the job has ended."""
        if kind == "jobs":
            if data["remaining"] is not None and self.view["id"] not in data["remaining"]:
                self._read_job()  # the first event may be older than the job
            for view in data["jobs"]:
                if view["id"] == self.view["id"]:
                    self._update(view)
            return ending_of(self.view) is not None
        if kind == "losses":
            self.losses = data["rows"][-1]
            self._items.put(progress_of(self.view, self.losses))
        if kind == "preview" and self.previews:
            with contextlib.suppress(RequestError):  # the job has ended meanwhile
                self._items.put(Preview(self.transport.fetch("GET", f"/api/jobs/{self.view['id']}/preview")))
        return False

    def _update(self, view: dict[str, Any]) -> None:
        require_same_job(view, self.view, self.transport.url)
        if view["revision"] < self.view["revision"]:
            return
        self.view = view
        if ending_of(view) is None:
            self._items.put(progress_of(view, self.losses))

    def _put_ending(self) -> bool:
        ending = ending_of(self.view)
        if ending is None:
            return False
        # The stream tells of the end first, and of the losses of the last steps afterwards.
        with contextlib.suppress(StudioError):
            job, step = self.view["id"], int(self.losses.get("step", 0))
            for row in self.transport.call("GET", f"/api/jobs/{job}/losses", after=step)[-1:]:
                self._items.put(progress_of(self.view, row))
        self._items.put(ending)
        self._items.put(None)
        return True

    def _read_job(self) -> None:
        """Ask for the job. Raises `JobError` if the studio does not have it."""
        self._update(read_job(self.transport, self.view["id"]))

    def _reconnect(self, error: StudioError) -> None:
        """Wait until the studio answers again, and read the job. Raises `ConnectionLostError` if it does not."""
        deadline_s, pause_s = time.monotonic() + self.reconnect_s, FIRST_PAUSE_S
        while not self._closed.wait(pause_s):
            try:
                return self._read_job()
            except (ConnectionLostError, NoStudioError):
                if time.monotonic() > deadline_s:
                    raise self.transport.lost(error) from error
            pause_s = min(2 * pause_s, MAX_PAUSE_S)
        return None


def read_job(transport: Transport, number: int) -> dict[str, Any]:
    """Ask for a job. Raises `JobError` if the studio does not have it."""
    try:
        view: dict[str, Any] = transport.call("GET", f"/api/jobs/{number}")
    except RequestError as error:
        if error.status == 404:
            raise JobError(
                f"Job {number} is not in the queue of {transport.url}. It was removed, or the studio has been started "
                "with another queue."
            ) from error
        raise
    return view


def require_same_job(view: dict[str, Any], first: dict[str, Any], url: str) -> None:
    """Raise `JobError` if a job is another one of the same number."""
    if view["created_s"] != first["created_s"]:
        raise JobError(
            f"The studio at {url} has another queue now, without job {first['id']}. "
            "Start it with the --data-dir that it had before."
        )
