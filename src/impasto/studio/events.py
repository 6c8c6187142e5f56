"""What happens in the queue, as a stream for each browser, from one look at it for all of them.

A browser that is slow is told of the latest state when it is ready for it, and of nothing in between: it drops frames,
and costs nobody anything. What it has seen is in the id of each event, so that it goes on there when it comes back.
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

LOOK_S = 0.1


@dataclass(frozen=True)
class EventCursor:
    """What a browser knows: up to this revision of the queue, this step of its job, this look of it."""

    revision: int = -1
    step: int = 0
    preview: int = 0

    @classmethod
    def of(cls, text: str | None) -> EventCursor:
        """From the id of an event; of nothing if it is none of ours."""
        try:
            revision, step, preview = (int(part) for part in (text or "").split("-"))
        except ValueError:
            return cls()
        return cls(revision, step, preview)

    def __str__(self) -> str:
        return f"{self.revision}-{self.step}-{self.preview}"


@dataclass
class _Look:
    """The queue as it was when it was looked at last."""

    revision: int = -1
    jobs: dict[int, JobView] = field(default_factory=dict)
    losses: dict[int, list[dict[str, float]]] = field(default_factory=dict)
    previews: dict[int, int] = field(default_factory=dict)
    removed: int = -1


class EventHub:
    """Looks at the queue while anybody watches; once it is `closed`, streams end."""

    def __init__(self, store: JobStore) -> None:
        self.store = store
        self.watchers = 0
        self.closed = False
        self._look, self._looks = _Look(), 0
        self._jobs: Counter[int] = Counter()
        self._news = asyncio.Condition()
        self._looking: asyncio.Task[None] | None = None

    async def events(self, job: int | None, seen: EventCursor) -> AsyncIterator[ServerSentEvent]:
        """What there is to tell, since what was seen; of one job its losses and looks as well."""
        with self._watching(job):
            if seen.revision > await run_in_threadpool(self.store.revision):
                seen = EventCursor()  # of another queue: begin anew
            while not self.closed:
                looks = self._looks
                for kind, data, known in self._told(job, seen):
                    seen = known
                    yield ServerSentEvent(event=kind, data=data, id=str(seen))
                async with self._news:
                    await self._news.wait_for(lambda: self._looks != looks)  # noqa: B023 - it is called at once

    def _told(self, job: int | None, seen: EventCursor) -> Iterator[tuple[str, Any, EventCursor]]:
        look = self._look
        if look.revision > seen.revision:
            changed = [view.model_dump(mode="json") for view in look.jobs.values() if view.revision > seen.revision]
            left = sorted(look.jobs) if look.removed > seen.revision else None
            seen = EventCursor(look.revision, seen.step, seen.preview)
            yield "jobs", {"jobs": changed, "left": left}, seen
        if job is None:
            return
        rows = [row for row in look.losses.get(job, ()) if row["step"] > seen.step]
        if rows:
            seen = EventCursor(seen.revision, int(rows[-1]["step"]), seen.preview)
            yield "losses", {"job": job, "rows": rows}, seen
        version = look.previews.get(job, 0)
        if version > seen.preview:
            seen = EventCursor(seen.revision, seen.step, version)
            yield "preview", {"job": job, "version": version}, seen

    @contextlib.contextmanager
    def _watching(self, job: int | None) -> Iterator[None]:
        self.watchers += 1
        if job is not None:
            self._jobs[job] += 1
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._keep_looking())
        try:
            yield
        finally:
            self.watchers -= 1
            if job is not None:
                self._jobs[job] -= 1

    async def _keep_looking(self) -> None:
        while self.watchers:
            with contextlib.suppress(JobError):  # a queue that is locked now may answer the next time
                if await run_in_threadpool(self._look_again) or self.closed:
                    async with self._news:
                        self._looks += 1
                        self._news.notify_all()
            await asyncio.sleep(LOOK_S)

    def _look_again(self) -> bool:
        look, before = self._look, (self._look.revision, dict(self._look.previews), len(self._jobs))
        revision, jobs, left = self.store.changed(look.revision)
        look.jobs |= {job.id: JobView.of(job) for job in jobs}
        if left is not None:
            look.jobs = {number: view for number, view in look.jobs.items() if number in left}
            look.removed = revision
        look.revision = revision
        for job in [number for number, count in self._jobs.items() if not count]:
            del self._jobs[job]
            look.losses.pop(job, None)
            look.previews.pop(job, None)
        for job in list(self._jobs):
            rows = look.losses.setdefault(job, [])
            if not rows or revision != before[0]:
                rows += self.store.losses(job, after=int(rows[-1]["step"]) if rows else 0)
            look.previews[job] = self.store.previews.version(job)
        return before != (look.revision, look.previews, len(self._jobs))
