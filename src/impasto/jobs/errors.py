"""Errors of the job queue."""

from __future__ import annotations

from impasto.errors import ImpastoError

__all__ = ["BrokenQueueError", "JobError", "LostJobError", "UnknownJobError"]


class JobError(ImpastoError):
    """A request that the queue or one of its jobs cannot fulfill."""


class LostJobError(JobError):
    """A write by a worker that no longer has the job."""


class UnknownJobError(JobError):
    """A job number that is not in the queue."""


class BrokenQueueError(JobError):
    """A database that cannot be read or written: locked, full or damaged."""
