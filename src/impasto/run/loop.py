"""The loop over a run's steps. Whatever watches a run is an observer here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from typing import Protocol

from impasto.core.method import Progress
from impasto.run.checkpoint import Checkpoint
from impasto.run.result import Result
from impasto.run.run import Run

__all__ = ["Observer", "StopCondition", "drive", "iterate"]

StopCondition = Callable[[Progress], bool]
"""Called after each step: True ends the run there."""


class Observer(Protocol):
    """A function that is called after each step, while `progress.image` is valid."""

    def __call__(self, run: Run, progress: Progress, /) -> None:
        """Look at one step."""


def iterate(
    run: Run,
    observers: Sequence[Observer] = (),
    stop: StopCondition | None = None,
    *,
    checkpoint: Checkpoint | None = None,
) -> Generator[Progress, None, None]:
    """Return the steps of a run, or those after `checkpoint`, each once every observer has seen it.

    Close the generator to cancel; `run.result()` then gives the picture so far. Raises what `Run.steps` raises.
    """
    return _observe(run, run.steps(checkpoint), observers, stop)


def _observe(
    run: Run,
    steps: Generator[Progress, None, None],
    observers: Sequence[Observer],
    stop: StopCondition | None,
) -> Generator[Progress, None, None]:
    with contextlib.closing(steps):
        for progress in steps:
            for observe in observers:
                observe(run, progress)
            yield progress
            if stop is not None and stop(progress):
                return


def drive(
    run: Run,
    observers: Sequence[Observer] = (),
    stop: StopCondition | None = None,
    *,
    checkpoint: Checkpoint | None = None,
) -> Result:
    """Run to the end, or to the step at which `stop` returns True, and return the picture."""
    for _ in iterate(run, observers, stop, checkpoint=checkpoint):
        pass
    return run.result()
