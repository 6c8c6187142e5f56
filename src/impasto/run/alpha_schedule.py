"""Changes of α during a run, each after one of its steps."""

from __future__ import annotations

from collections.abc import Iterable

from impasto.core.method import ResumePoint
from impasto.run.recipe import AlphaChange

__all__ = ["AlphaSchedule"]


class AlphaSchedule:
    """The changes of α of one run: recorded ones to replay, and those made while it runs.

    The same changes give the same bits, whenever they were made.
    """

    def __init__(self, changes: Iterable[AlphaChange] = ()) -> None:
        self.changes = tuple(sorted(changes, key=_position))

    def change(self, at: ResumePoint, alpha: float) -> AlphaChange:
        """Continue with this α after the step `at`, which must be the latest."""
        change = AlphaChange(scale=at.scale, iteration=at.state.iteration, alpha=alpha)
        self.changes = (*(known for known in self.changes if _position(known) != _position(change)), change)
        return change

    def changes_before(self, scale: int, iteration: int) -> tuple[AlphaChange, ...]:
        """Return the changes made before a step."""
        return tuple(change for change in self.changes if _position(change) < (scale, iteration))

    def alpha_at(self, scale: int, iteration: int, initial: float) -> float:
        """Return the α of a step in a run that starts with `initial`."""
        changes = self.changes_before(scale, iteration)
        return changes[-1].alpha if changes else initial


def _position(change: AlphaChange) -> tuple[int, int]:
    return change.scale, change.iteration
