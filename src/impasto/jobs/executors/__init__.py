"""Executors of the job queue: worker processes on this machine, or actors of a Ray cluster."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

__all__ = ["Executor"]


class Executor(Protocol):
    """Paints the jobs of a queue while it is open.

    Closing it releases all jobs after their current step.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    @property
    def workers(self) -> int:
        """The number of workers that are ready."""

    def check(self) -> None:
        """Raise `ImpastoError` if the executor cannot paint any more."""
