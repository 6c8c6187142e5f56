"""Part of the composition root: how a run went, written down while it goes."""

from __future__ import annotations

from collections.abc import Generator

from impasto.method import Progress
from impasto.recipes import Trace

__all__ = ["Tracer"]

LONGEST, LARGEST = 256, 4096
"""Rows that a trace has at most, and numbers: a JPEG holds no more than 64 kB of notes. Longer runs keep every second
step, every fourth …, and always the last."""

DIGITS = 4

_Row = tuple[int, int, dict[str, float]]


class Tracer:
    """Takes a row from each step. None holds a time, for the same run leaves the same bytes."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._kept: list[_Row] = []
        self._every, self._seen = 1, 0
        self._last: _Row | None = None

    def followed(self, steps: Generator[Progress, None, None]) -> Generator[Progress, None, None]:
        """The same steps, each written down before it is handed on."""
        self._begin()
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
    def trace(self) -> Trace | None:
        """The columns so far; None before the first step."""
        if self._last is None:
            return None
        rows = self._kept if self._kept[-1] is self._last else [*self._kept, self._last]
        return Trace(
            scale=tuple(scale for scale, _, _ in rows),
            iteration=tuple(iteration for _, iteration, _ in rows),
            numbers={name: tuple(float(f"{row[name]:.{DIGITS}g}") for _, _, row in rows) for name in self._last[2]},
        )
