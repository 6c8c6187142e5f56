"""A durable queue of runs: one SQLite file, and a folder of files named by their content."""

from impasto.jobs.errors import BrokenQueueError, JobError, LostJobError, UnknownJobError
from impasto.jobs.model import Claim, Job, JobCommand
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
