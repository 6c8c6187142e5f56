"""A durable queue of runs: one SQLite file and a folder of files by their content, which survive anything."""

from impasto.jobs.errors import JobError, LostJobError
from impasto.jobs.store import Claim, Job, JobStore

__all__ = ["Claim", "Job", "JobError", "JobStore", "LostJobError"]
