"""The jobs of one batch: which pictures exist already, and how the others end.

A picture is identified by the hash of its options and inputs. So a second call paints only what is missing, and one
picture under several names is painted once.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from impasto.config import RunOptions
from impasto.config.run_options import BUILT_IN_PROFILES
from impasto.errors import ImpastoError
from impasto.files import atomic_write
from impasto.jobs.batch_plan import BatchItem
from impasto.jobs.batch_report import BatchReport
from impasto.jobs.clips import add_clip
from impasto.jobs.files import sha256_of
from impasto.jobs.model import Job, JobError
from impasto.jobs.store import JobStore
from impasto.jobs.submit import key_of, store_profile, store_source
from impasto.samples.sources import SAMPLE, resolve_picture

__all__ = ["BatchJobs"]

PRIORITY = -10
"""Priority of a batch's jobs: single pictures go first."""

LOSSY_SUFFIXES = (".jpg", ".jpeg", ".webp")

StoredFile = dict[str, str | None]


class BatchJobs:
    """The jobs of a batch, by number, with the items of each; `report` has the outcomes so far."""

    def __init__(self, store: JobStore, items: Sequence[BatchItem], options: RunOptions) -> None:
        self.store, self.options, self.report = store, options, BatchReport(items)
        self.jobs: dict[int, list[BatchItem]] = {}
        self._latest: dict[int, Job] = {}
        self._revision = -1

    def enqueue(self, *, retry: bool = False) -> None:
        """Add jobs for the missing pictures. An unreadable input fails its items only."""
        stored: dict[str, StoredFile | str] = {}
        first_outputs: dict[Any, Path] = {}
        profile = store_profile(self.store, self.options)
        for item in self.report.items:
            try:
                files = {role: self._store(stored, role, source, item) for role, source in item.sources.items()}
                files |= profile if item.video is None else {}
                video = item.video.model_dump(mode="json") if item.video is not None else None
                key = key_of(item.config.model_dump(mode="json"), files, video)
                first = first_outputs.setdefault((key, _file_format(item.output, self.options)), item.output)
                if first != item.output:
                    self.report.duplicates[item.output] = first
                self._enqueue(item, files, key, retry)
            except ImpastoError as error:
                self._fail(item, str(error))

    def _store(self, stored: dict[str, StoredFile | str], role: str, source: str, item: BatchItem) -> StoredFile:
        """Copy a source into the queue, once per batch.

        Raises `JobError` if it failed, now or before.
        """
        name = f"{source} {item.config.painted_px}" if source.startswith(SAMPLE) else source
        if name not in stored:
            try:
                stored[name] = store_source(self.store, resolve_picture(source, item.config.painted_px), role)
            except ImpastoError as error:
                stored[name] = str(error)
        result = stored[name]
        if isinstance(result, str):
            prefix = "" if role in ("content", "style") else f"{role.replace('_', ' ')}: "
            raise JobError(prefix + result)
        return result

    def _enqueue(self, item: BatchItem, files: Mapping[str, StoredFile], key: str, retry: bool) -> None:
        file_format = _file_format(item.output, self.options)
        same = [
            job
            for job in self.store.jobs(key=key)
            if _file_format(Path(job.output or "any.png"), RunOptions(**job.run)) == file_format
        ]
        done = next((job for job in same if self._has_picture(job)), None)
        if done is not None:
            self._copy_picture(done, item)
            self.report.existing.append(item.output)
            return
        if item.output.exists():
            raise _other_picture(item.output)
        job = _job_to_await(same, str(item.output.absolute())) or self._add(item, files, key)
        if job.state in ("failed", "cancelled"):
            if not retry:
                self._fail(item, f"{job.error or 'it was cancelled'} (try again with --retry)")
                return
            job = self.store.retry(job.id)
        elif job.state == "done":  # but its picture was removed
            self.store.remove(job.id)
            job = self._add(item, files, key)
        self.jobs.setdefault(job.id, []).append(item)

    def _add(self, item: BatchItem, files: Mapping[str, StoredFile], key: str) -> Job:
        if item.video is not None:
            place, options = str(item.output.absolute()), self.options
            return add_clip(
                self.store, files, item.config, options, item.video, output=place, priority=PRIORITY, once=True
            )
        return self.store.add(
            item.config.model_dump(mode="json"),
            files,
            key=key,
            run=self.options.model_dump(mode="json"),
            output=str(item.output.absolute()),
            priority=PRIORITY,
            once=True,
        )

    def _has_picture(self, job: Job) -> bool:
        return job.state == "done" and job.result is not None and self.store.files.path(job.result["sha256"]).is_file()

    def _copy_picture(self, job: Job, item: BatchItem) -> None:
        """Copy a job's picture to an item's output.

        Raises `JobError` rather than replace another file.
        """
        assert job.result is not None  # the job is done
        sha256 = job.result["sha256"]
        if not item.output.exists():
            with atomic_write(item.output) as temporary:
                shutil.copyfile(self.store.files.path(sha256), temporary)
        elif sha256_of(item.output) != sha256:
            raise _other_picture(item.output)
        self.report.losses[item.output] = job.result.get("losses", {})

    def refresh(self) -> list[Job]:
        """Return the batch's jobs as they are now. Updates the report."""
        self._revision, changed, remaining = self.store.changes_since(self._revision)
        changed = [job for job in changed if job.id in self.jobs]
        self._latest |= {job.id: job for job in changed}
        for number in self.jobs.keys() - remaining if remaining is not None else ():
            for item in self.jobs.pop(number):
                self._fail(item, "its job was removed from the queue")
        for job in changed:
            for item in self.jobs.get(job.id, ()):
                self._end_item(job, item)
        return [self._latest[number] for number in self.jobs]

    def _end_item(self, job: Job, item: BatchItem) -> None:
        if job.state in ("failed", "cancelled"):
            self._fail(item, job.error or "it was cancelled")
        elif job.state == "done" and item.output not in self.report.losses:
            try:
                self._copy_picture(job, item)
            except ImpastoError as error:
                self._fail(item, str(error))
            else:
                self.report.painted.append(item.output)

    def _fail(self, item: BatchItem, error: str) -> None:
        self.report.failed[item.output] = error
        self.report.duplicates.pop(item.output, None)


def _other_picture(output: Path) -> JobError:
    return JobError(
        f"{output} exists, and is another picture, or of an earlier version of Impasto. Move it, or choose another -o."
    )


def _file_format(output: Path, options: RunOptions) -> tuple[Any, ...]:
    """Return what a picture's key does not include: the file's format, depth, color profile and quality."""
    suffix = output.suffix.lower()
    profile = options.profile if options.profile in BUILT_IN_PROFILES else None  # a file is in the key
    return suffix, options.bits, profile, options.intent, options.quality if suffix in LOSSY_SUFFIXES else None


def _job_to_await(same: Sequence[Job], output: str) -> Job | None:
    """Return the job of the same picture to wait for: an active one, else that of this output.

    A job with another output is no use if it is paused, or done without a picture.
    """
    own = [job for job in same if job.output == output]
    others = [job for job in same if job.state != "done" and not job.paused]
    active = [job for job in (*own, *others) if not job.has_ended]
    return next(iter(active or own or others), None)
