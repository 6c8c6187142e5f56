"""Changes of the queue as a stream for each browser, from one poll of the database for all of them.

A slow browser receives the latest state when it is ready, and skips what lies between. The id of an event holds what
the browser has seen, so that it continues there after a reconnect.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from fastapi.sse import ServerSentEvent
from starlette.concurrency import run_in_threadpool

from impasto.jobs import JobError, JobStore
from impasto.studio.schemas import JobView

__all__ = ["EventCursor", "EventHub"]

POLL_S = 0.1


@dataclass(frozen=True)
class EventCursor:
    """A position in the stream: the revision of the queue, and the step and preview of the followed job."""

    revision: int = -1
    step: int = 0
    preview: int = 0

    @classmethod
    def parse(cls, text: str | None) -> EventCursor:
        """Parse the id of an event. Anything else starts from the beginning."""
        try:
            revision, step, preview = (int(part) for part in (text or "").split("-"))
        except ValueError:
            return cls()
        return cls(revision, step, preview)

    def __str__(self) -> str:
        return f"{self.revision}-{self.step}-{self.preview}"


@dataclass
class _Snapshot:
    """The queue as of the last poll. `removed` is the last revision that removed a job."""

    revision: int = -1
    jobs: dict[int, JobView] = field(default_factory=dict)
    losses: dict[int, list[dict[str, float]]] = field(default_factory=dict)
    previews: dict[int, int] = field(default_factory=dict)
    removed: int = -1


class EventHub:
    """Polls the queue while any browser is connected. Once `closed` is set, all streams end."""

    def __init__(self, store: JobStore) -> None:
        self.store = store
        self.closed = False
        self._snapshot = _Snapshot()
        self._changes = 0
        self._listeners = 0
        self._watched_jobs: Counter[int] = Counter()
        self._changed = asyncio.Condition()
        self._poller: asyncio.Task[None] | None = None

    async def stream(self, job: int | None, cursor: EventCursor) -> AsyncIterator[ServerSentEvent]:
        """Yield the changes since `cursor`: of all jobs, and the losses and previews of one."""
        with self._listen(job):
            if cursor.revision > await run_in_threadpool(self.store.revision):
                cursor = EventCursor()  # from another queue
            while not self.closed:
                changes = self._changes
                for kind, data, seen in self._events(job, cursor):
                    cursor = seen
                    yield ServerSentEvent(event=kind, data=data, id=str(cursor))
                async with self._changed:
                    await self._changed.wait_for(lambda: self._changes != changes)  # noqa: B023 - called at once

    def _events(self, job: int | None, cursor: EventCursor) -> Iterator[tuple[str, Any, EventCursor]]:
        """Yield (kind, data, cursor after it)."""
        snapshot = self._snapshot
        if snapshot.revision > cursor.revision:
            changed = [view for view in snapshot.jobs.values() if view.revision > cursor.revision]
            remaining = sorted(snapshot.jobs) if snapshot.removed > cursor.revision else None
            cursor = EventCursor(snapshot.revision, cursor.step, cursor.preview)
            yield "jobs", {"jobs": [view.model_dump(mode="json") for view in changed], "remaining": remaining}, cursor
        if job is None:
            return
        rows = [row for row in snapshot.losses.get(job, ()) if row["step"] > cursor.step]
        if rows:
            cursor = EventCursor(cursor.revision, int(rows[-1]["step"]), cursor.preview)
            yield "losses", {"job": job, "rows": rows}, cursor
        version = snapshot.previews.get(job, 0)
        if version > cursor.preview:
            cursor = EventCursor(cursor.revision, cursor.step, version)
            yield "preview", {"job": job, "version": version}, cursor

    @contextlib.contextmanager
    def _listen(self, job: int | None) -> Iterator[None]:
        self._listeners += 1
        if job is not None:
            self._watched_jobs[job] += 1
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll_while_listening())
        try:
            yield
        finally:
            self._listeners -= 1
            if job is not None:
                self._watched_jobs[job] -= 1

    async def _poll_while_listening(self) -> None:
        while self._listeners:
            with contextlib.suppress(JobError):  # the queue may be locked for a moment
                if await run_in_threadpool(self._poll) or self.closed:
                    async with self._changed:
                        self._changes += 1
                        self._changed.notify_all()
            await asyncio.sleep(POLL_S)

    def _poll(self) -> bool:
        """Update the snapshot. Return True if it changed."""
        snapshot = self._snapshot
        before = (snapshot.revision, dict(snapshot.previews), len(self._watched_jobs))
        revision, jobs, remaining = self.store.changes_since(snapshot.revision)
        snapshot.jobs |= {job.id: JobView.of(job) for job in jobs}
        if remaining is not None:
            snapshot.jobs = {number: view for number, view in snapshot.jobs.items() if number in remaining}
            snapshot.removed = revision
        snapshot.revision = revision
        for job in [number for number, count in self._watched_jobs.items() if not count]:
            del self._watched_jobs[job]
            snapshot.losses.pop(job, None)
            snapshot.previews.pop(job, None)
        for job in list(self._watched_jobs):
            rows = snapshot.losses.setdefault(job, [])
            if not rows or revision != before[0]:
                rows += self.store.losses(job, after=int(rows[-1]["step"]) if rows else 0)
            snapshot.previews[job] = self.store.previews.version(job)
        return before != (snapshot.revision, snapshot.previews, len(self._watched_jobs))
