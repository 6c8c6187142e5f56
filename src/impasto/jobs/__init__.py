"""A durable queue of runs: one SQLite file, and a folder of files named by their content."""

from impasto.jobs.model import BrokenQueueError, Claim, Job, JobCommand, JobError, LostJobError, UnknownJobError
from impasto.jobs.store import JobStore

__all__ = [
    "BrokenQueueError",
    "Claim",
    "Job",
    "JobCommand",
    "JobError",
    "JobStore",
    "LostJobError",
    "UnknownJobError",
]
