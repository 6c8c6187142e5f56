"""Sketches of the studio: what a request would paint, small, in a few steps, while a person is still choosing.

Each is painted once: the queue of sketches keeps it by the hashes of its pictures and options. It is wanted as long as
a client waits for it. When the client leaves, it is cancelled, and continues if anyone asks again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from functools import cached_property
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from impasto import __version__, images, weights
from impasto.config import Config, RunOptions
from impasto.config.print_size import NO_PRINT
from impasto.config.roles import pictures_by_role
from impasto.errors import WeightsError
from impasto.images import NamedImage
from impasto.jobs import Job, JobError, JobStore
from impasto.jobs.sketches import open_sketches
from impasto.jobs.submit import key_of, store_source
from impasto.run import Run
from impasto.studio.pictures import DEFAULT_SIZE_PX, Pictures
from impasto.studio.requests import build_run, read_config
from impasto.studio.schemas import PaintRequest, PictureRef

__all__ = ["Sketches"]

SIZE_PX, STEPS = 192, 12
"""At 192 px strokes can be seen, and 12 steps at each of two sizes take 2 to 4 s on one core."""

SOURCE_PX = 512
"""Size of the copies that sketches are painted from: a photo of 100 megapixels takes seconds to decode."""

POLL_S = 0.2

MAX_WAITING = 200
"""Maximum number of sketches in the queue, for all clients together."""

MAX_KEPT, MAX_CANCELLED = 400, 20
"""Number of sketches to keep: 0.1 MB each, and those with a checkpoint a few MB."""


class Sketches:
    """The sketches of one studio. Nothing is stored before the first is asked for."""

    def __init__(self, pictures: Pictures, max_kept: int = MAX_KEPT) -> None:
        self.pictures, self.max_kept = pictures, max_kept

    @cached_property
    def store(self) -> JobStore:
        """The queue of sketches."""
        return open_sketches(self.pictures.store)

    async def paint(
        self, request: PaintRequest, wait_s: float, is_wanted: Callable[[], Awaitable[bool]]
    ) -> bytes | None:
        """Return the sketch of a request as JPEG, or None if it is not painted within `wait_s`.

        It is cancelled once `is_wanted` returns False. Raises `ImpastoError`.
        """
        deadline_s = time.monotonic() + wait_s
        job = await run_in_threadpool(self._enqueue, request)
        while job.state != "done":
            if job.state == "failed":
                raise JobError(job.error or "The sketch failed. Try again.")
            if not await is_wanted():
                await run_in_threadpool(self._cancel, job)
                return None
            if time.monotonic() > deadline_s:
                return None
            await asyncio.sleep(POLL_S)
            job = await run_in_threadpool(self._refresh, job)
        return await run_in_threadpool(self._encode, job)

    def _enqueue(self, request: PaintRequest) -> Job:
        """Return the job of a sketch, and queue it unless it is done."""
        if request.video is not None:
            raise JobError("A sketch is a picture. Leave video out, and give a frame of the clip as content.")
        if self.store.count_queued() >= MAX_WAITING:
            raise JobError(f"{MAX_WAITING} sketches are waiting. Try again later.")
        run = build_run(request, _sketch_config(read_config(request)), RunOptions(), self._open_small, self._open)
        if not weights.is_cached(run.config.network):
            raise WeightsError(
                f"A sketch downloads nothing, and {run.config.network} is not here. "
                f"Get it with: impasto weights pull {run.config.network}"
            )
        job = self._add(run)
        if job.state == "failed" or (job.result is not None and not self._path(job).is_file()):
            self.store.remove(job.id)
            job = self._add(run)
        if not job.attempt:
            self._remove_oldest()
        return self._retry(job)

    def _add(self, run: Run) -> Job:
        """Add the sketch of a run to the queue, or return the job of an earlier one."""
        files = {role: store_source(self.store, source, role) for role, source in pictures_by_role(run.inputs).items()}
        config = run.config.model_dump(mode="json")
        key = key_of(config | {"version": __version__}, files)
        return self.store.add(config, files, key=key, run=run.options.model_dump(mode="json"), once=True)

    def _refresh(self, job: Job) -> Job:
        """Return a job as it is now. If another client has cancelled it, queue it again."""
        return self._retry(self.store.get(job.id))

    def _retry(self, job: Job) -> Job:
        if job.state == "cancelled":
            with contextlib.suppress(JobError):  # another client may have done it in this moment
                return self.store.retry(job.id)
        return job

    def _cancel(self, job: Job) -> None:
        with contextlib.suppress(JobError):  # it may have ended in this moment
            self.store.cancel(job.id)

    def _encode(self, job: Job) -> bytes:
        return self.pictures.thumbnail(self._path(job), SIZE_PX)

    def _path(self, job: Job) -> Path:
        return self.store.files.path(str((job.result or {})["sha256"]))

    def _open(self, ref: PictureRef) -> NamedImage:
        return self.pictures.source(ref, DEFAULT_SIZE_PX)

    def _open_small(self, ref: PictureRef) -> NamedImage:
        """Return a picture of a request, reduced to a small copy if it was uploaded."""
        source = self._open(ref)
        if ref.sha256 is None:
            return source
        path = self.store.folder / "sources" / f"{ref.sha256}.png"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            small = images.load(source, long_side_px=SOURCE_PX, max_megapixels=float("inf"))
            images.save(path, small.pixels, small.alpha)
        return NamedImage(source.name, path)

    def _remove_oldest(self) -> None:
        """Remove the oldest sketches beyond the limits, and the copies, which are made again where they are needed."""
        ended = [job for job in self.store.jobs() if job.has_ended]
        painted, cancelled = ([job for job in ended if (job.state == "cancelled") == value] for value in (False, True))
        oldest = painted[: -self.max_kept] + cancelled[:-MAX_CANCELLED]
        for job in oldest:
            self.store.remove(job.id)
        if oldest:
            self.store.remove_unused_files()
            for path in (self.store.folder / "sources").glob("*.png"):
                path.unlink(missing_ok=True)


def _sketch_config(config: Config) -> Config:
    """Return the options of a request, at the size and with the steps of a sketch; a print at a low resolution."""
    scales = 1 if config.scales == 1 else None
    size = {"size": SIZE_PX} if config.print == NO_PRINT else {"dpi": config.dpi * SIZE_PX / config.longest_px}
    fast = {"iterations": STEPS, "effort": "normal", "supersample": 1, "scales": scales}
    return Config(**(config.model_dump() | size | fast))
