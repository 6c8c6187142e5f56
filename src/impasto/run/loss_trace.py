"""Part of the composition root: how a run went, written down while it goes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from impasto.core.method import Progress
from impasto.run.recipe import Trace

__all__ = ["LossTrace"]

LONGEST, LARGEST = 256, 4096
"""Rows that a trace has at most, and numbers: a JPEG holds no more than 64 kB of notes. Longer runs keep every second
step, every fourth …, and always the last."""

DIGITS = 4

_Row = tuple[int, int, dict[str, float]]


class LossTrace:
    """Takes a row from each step. None holds a time, for the same run leaves the same bytes."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._kept: list[_Row] = []
        self._every, self._seen = 1, 0
        self._last: _Row | None = None

    def followed(
        self, steps: Generator[Progress, None, None], before: Sequence[Any] = ()
    ) -> Generator[Progress, None, None]:
        """The same steps, each written down before it is handed on; `before` are the `rows` of those before them."""
        self._begin()
        if before:
            self._every, self._seen, kept, last = before
            self._kept, self._last = [_row(row) for row in kept], _row(last)
        for progress in steps:
            self._saw(progress)
            yield progress

    def _saw(self, progress: Progress) -> None:
        numbers = {**progress.losses.as_floats(), "gradient": progress.gradient_rms}
        row = progress.scale, progress.iteration, numbers
        self._last = row
        if self._seen % self._every == 0:
            self._kept.append(row)
        self._seen += 1
        if len(self._kept) > min(LONGEST, LARGEST // len(numbers)):
            self._kept = self._kept[::2]
            self._every *= 2

    @property
    def rows(self) -> list[Any]:
        """All that it knows, as JSON can hold it."""
        return [self._every, self._seen, self._kept, self._last]

    @property
    def trace(self) -> Trace | None:
        """The columns so far; None before the first step."""
        if self._last is None:
            return None
        rows = self._kept if self._kept[-1] == self._last else [*self._kept, self._last]
        return Trace(
            scale=tuple(scale for scale, _, _ in rows),
            iteration=tuple(iteration for _, iteration, _ in rows),
            numbers={name: tuple(float(f"{row[name]:.{DIGITS}g}") for _, _, row in rows) for name in self._last[2]},
        )


def _row(told: Any) -> _Row:
    scale, iteration, numbers = told
    return scale, iteration, dict(numbers)
