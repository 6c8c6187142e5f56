"""The program of the driver process of `RayExecutor`. Its argument is an address."""

from __future__ import annotations

from impasto.distributed.driver import serve
from impasto.jobs.executors.ray_scheduler import schedule_jobs

if __name__ == "__main__":
    serve(schedule_jobs)
