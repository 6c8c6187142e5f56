"""Many pictures of one call: which of them are there already, what becomes of the others.

A picture is known by the hash of its options and inputs, so a second call does only what is missing, and pictures that
are alike under several names are painted once.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impasto import images
from impasto.config import RunOptions
from impasto.errors import ImpastoError
from impasto.files import atomic_write
from impasto.jobs.batch_plan import BatchItem
from impasto.jobs.errors import JobError
from impasto.jobs.model import Job
from impasto.jobs.store import JobStore
from impasto.jobs.submit import key_of, store_source
from impasto.samples.sources import SAMPLE

__all__ = ["Batch"]

BEHIND = -10
"""Priority of a batch: whoever waits for one picture goes first."""

LOSSY = (".jpg", ".jpeg", ".webp")


@dataclass
class Batch:
    """Pictures of one call, and what is known of them. `source` is what a name, of a file or a sample, means.

    `alike` are outputs that are the same picture as another one of this call, by that one's.
    """

    store: JobStore
    wanted: Sequence[BatchItem]
    source: Callable[[str, int], Any]
    run: RunOptions = field(default_factory=RunOptions)
    skipped: list[BatchItem] = field(default_factory=list)
    finished: list[BatchItem] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    alike: dict[Path, Path] = field(default_factory=dict)
    losses: dict[Path, dict[str, float]] = field(default_factory=dict)
    jobs: dict[int, list[BatchItem]] = field(default_factory=dict)
    _seen: dict[int, Job] = field(default_factory=dict)
    _revision: int = -1

    def enqueue(self, *, retry: bool = False) -> None:
        """Put what is missing into the queue. What cannot be read fails by itself, and the rest goes on."""
        kept: dict[str, dict[str, str | None] | str] = {}
        firsts: dict[Any, Path] = {}
        for one in self.wanted:
            try:
                files = {role: self._kept(kept, role, place, one) for role, place in one.sources.items()}
                key = key_of(one.config.model_dump(mode="json"), files)
                first = firsts.setdefault((key, _form(one.output, self.run)), one.output)
                self._enqueue(one, files, key, retry)
                if first != one.output:
                    self.alike[one.output] = first
            except ImpastoError as error:
                self.failed[one.output] = str(error)

    def _kept(self, kept: dict[str, Any], role: str, place: str, one: BatchItem) -> dict[str, str | None]:
        """A source among the queue's files; each is read once, or fails once."""
        name = f"{place} {one.config.size}" if place.startswith(SAMPLE) else place
        if name not in kept:
            try:
                kept[name] = store_source(self.store, self.source(place, one.config.size))
            except ImpastoError as error:
                kept[name] = str(error)
        if isinstance(kept[name], str):
            what = "" if role in ("content", "style") else f"{role.replace('_', ' ')}: "
            raise JobError(what + kept[name])
        found: dict[str, str | None] = kept[name]
        return found

    def _enqueue(self, one: BatchItem, files: Mapping[str, Mapping[str, str | None]], key: str, retry: bool) -> None:
        form = _form(one.output, self.run)
        known = self.store.jobs(key=key)
        alike = [job for job in known if _form(Path(job.output or "any.png"), RunOptions(**job.run)) == form]
        done = next((job for job in alike if self._is_whole(job)), None)
        if done is not None:
            self._give(done, one)
            self.skipped.append(one)
            return
        if one.output.exists():
            raise JobError(f"{one.output} is there already, and is another picture. Move it, or choose another -o.")
        job = _best(alike, str(one.output.absolute())) or self._added(one, files, key)
        if job.state in ("failed", "cancelled"):
            if not retry:
                self.failed[one.output] = f"{job.error or 'it was cancelled'} (try again with --retry)"
                return
            job = self.store.retry(job.id)
        elif job.state == "done":  # and its picture is gone
            self.store.remove(job.id)
            job = self._added(one, files, key)
        self.jobs.setdefault(job.id, []).append(one)

    def _added(self, one: BatchItem, files: Mapping[str, Mapping[str, str | None]], key: str) -> Job:
        return self.store.add(
            one.config.model_dump(mode="json"),
            files,
            key=key,
            run=self.run.model_dump(mode="json"),
            output=str(one.output.absolute()),
            priority=BEHIND,
            once=True,
        )

    def _is_whole(self, job: Job) -> bool:
        return job.result is not None and self.store.files.path(job.result["sha256"]).is_file()

    def _give(self, job: Job, one: BatchItem) -> None:
        """Put a picture that was painted where it is asked for. What is there is not replaced."""
        assert job.result is not None  # it is done
        sha256 = job.result["sha256"]
        if not one.output.exists():
            with atomic_write(one.output) as temporary:
                shutil.copyfile(self.store.files.path(sha256), temporary)
        elif images.open_image(one.output, max_megapixels=float("inf")).sha256 != sha256:
            raise JobError(f"{one.output} is there already, and is another picture. Move it, or choose another -o.")
        self.losses[one.output] = job.result["losses"]

    def standing(self) -> list[Job]:
        """Its jobs as they stand; what became of those that ended is in `finished` and `failed`."""
        self._revision, changed, left = self.store.changes_since(self._revision)
        changed = [job for job in changed if job.id in self.jobs]
        self._seen |= {job.id: job for job in changed}
        for number in self.jobs.keys() - left if left is not None else ():
            self.failed |= dict.fromkeys((one.output for one in self.jobs.pop(number)), "it was removed from the queue")
        for job in changed:
            for one in self.jobs.get(job.id, ()):
                self._ended(job, one)
        return [self._seen[number] for number in self.jobs]

    def _ended(self, job: Job, one: BatchItem) -> None:
        if job.state in ("failed", "cancelled"):
            self.failed[one.output] = job.error or "it was cancelled"
        elif job.state == "done" and one.output not in self.losses:
            try:
                self._give(job, one)
            except ImpastoError as error:
                self.failed[one.output] = str(error)
            else:
                self.finished.append(one)


def _form(output: Path, run: RunOptions) -> tuple[Any, ...]:
    """How a picture is written, which its key does not tell: what was painted as a PNG is no JPEG."""
    suffix = output.suffix.lower()
    return suffix, run.bits, run.quality if suffix in LOSSY else None


def _best(alike: Sequence[Job], output: str) -> Job | None:
    """Of jobs of the same picture the one to wait for: that of this output, or one that is on its way or ended badly.

    One that is held, or done and its picture gone, is of no use to another output.
    """
    own = [job for job in alike if job.output == output]
    others = [job for job in alike if job.state != "done" and not job.paused]
    live = [job for job in (*own, *others) if job.state in ("queued", "running")]
    return next(iter(live or own or others), None)
