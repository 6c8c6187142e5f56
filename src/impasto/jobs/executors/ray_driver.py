"""The driver process of `RayExecutor`: run as `python -m impasto.jobs.executors.ray_driver ADDRESS`."""

from __future__ import annotations

from impasto.distributed.driver import serve
from impasto.jobs.executors.ray_scheduler import schedule_jobs

if __name__ == "__main__":
    serve(schedule_jobs)
