"""The losses of a run, recorded step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from impasto.core.method import Progress
from impasto.run.recipe import Trace

__all__ = ["LossTrace"]

MAX_ROWS, MAX_NUMBERS = 256, 4096
"""Limits of a trace: a JPEG holds at most 64 kB of metadata. Longer runs keep every second step, every fourth, and so
on, and always the last."""

DIGITS = 4

_Row = tuple[int, int, dict[str, float]]


class LossTrace:
    """A table of losses with a row for each recorded step.

    Rows contain no timestamps, so identical runs write identical files.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Remove all rows."""
        self._rows: list[_Row] = []
        self._every, self._steps = 1, 0
        self._last: _Row | None = None

    def record(self, progress: Progress) -> None:
        """Add one step."""
        numbers = {**progress.losses.as_floats(), "gradient": progress.gradient_rms}
        row = progress.scale, progress.iteration, numbers
        self._last = row
        if self._steps % self._every == 0:
            self._rows.append(row)
        self._steps += 1
        if len(self._rows) > min(MAX_ROWS, MAX_NUMBERS // len(numbers)):
            self._rows = self._rows[::2]
            self._every *= 2

    def recent_fall(self, steps: int) -> float | None:
        """Return the share by which the total fell in the latest steps of a scale; None if it has fewer or coarser."""
        if self._last is None:
            return None
        scale, iteration, latest = self._last
        before = next((row["total"] for *at, row in self._rows if at == [scale, iteration - steps]), 0)
        return 1 - latest["total"] / before if before > 0 else None

    @property
    def state(self) -> list[Any]:
        """Everything recorded, as JSON can hold it."""
        return [self._every, self._steps, self._rows, self._last]

    def restore(self, state: Sequence[Any]) -> None:
        """Continue from a `state` that was saved."""
        self._every, self._steps, rows, last = state
        self._rows, self._last = [_parse_row(row) for row in rows], _parse_row(last)

    def columns(self) -> Trace | None:
        """Return the recorded rows as columns, or None before the first step."""
        if self._last is None:
            return None
        rows = self._rows if self._rows[-1] == self._last else [*self._rows, self._last]
        return Trace(
            scale=tuple(scale for scale, _, _ in rows),
            iteration=tuple(iteration for _, iteration, _ in rows),
            numbers={name: tuple(float(f"{row[name]:.{DIGITS}g}") for _, _, row in rows) for name in self._last[2]},
        )


def _parse_row(row: Any) -> _Row:
    scale, iteration, numbers = row
    return scale, iteration, dict(numbers)
