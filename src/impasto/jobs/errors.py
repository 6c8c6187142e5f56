"""What can go wrong in a queue, as types."""

from __future__ import annotations

from impasto.errors import ImpastoError

__all__ = ["BrokenQueueError", "JobError", "LostJobError", "UnknownJobError"]


class JobError(ImpastoError):
    """A job, or a queue, that cannot do what was asked."""


class LostJobError(JobError):
    """A job that a worker had, and has no more."""


class UnknownJobError(JobError):
    """A job that there is not."""


class BrokenQueueError(JobError):
    """A database that cannot be read or written: locked, full, damaged."""
