"""A durable queue of runs: one SQLite file and a folder of files by their content, which survive anything."""

from impasto.jobs.errors import BrokenQueueError, JobError, LostJobError, UnknownJobError
from impasto.jobs.model import Asked, Claim, Job
from impasto.jobs.store import JobStore

__all__ = [
    "Asked",
    "BrokenQueueError",
    "Claim",
    "Job",
    "JobError",
    "JobStore",
    "LostJobError",
    "UnknownJobError",
]
