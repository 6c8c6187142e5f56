"""Changes of α during a run, each after one of its steps."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import fields, replace

from impasto.config import ResolvedConfig
from impasto.core.method import Progress, ResumePoint
from impasto.run.recipe import AlphaChange

__all__ = ["AlphaSchedule"]


class AlphaSchedule:
    """The changes of α of one run: recorded ones to replay, and those made while it runs.

    A change restarts descent from the step before it, with another α and without the curvature that L-BFGS had
    gathered on the old objective. So the same changes give the same bits, whoever makes them.
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

    def config_at(self, scale: int, iteration: int, config: ResolvedConfig) -> ResolvedConfig:
        """Return the options in force at a step: the run's, with the α of the last change before it."""
        changes = self.changes_before(scale, iteration)
        return config.model_copy(update={"alpha": changes[-1].alpha}) if changes else config

    def steps(
        self,
        begin: Callable[[ResolvedConfig, ResumePoint | None], Generator[Progress, None, None]],
        config: ResolvedConfig,
        since: ResumePoint | None = None,
    ) -> Generator[Progress, None, None]:
        """Run `begin`, restarting it after each change of alpha."""
        while True:
            change = self._change_after(since)
            if change is not None and since is not None:
                config, since = config.model_copy(update={"alpha": change.alpha}), _without_curvature(since)
            steps = begin(config, since)
            for progress in steps:
                yield progress
                if self._change_after(progress) is not None and not progress.is_last:
                    steps.close()
                    since = progress
                    break
            else:
                return

    def _change_after(self, at: ResumePoint | None) -> AlphaChange | None:
        positions = {_position(change): change for change in self.changes}
        return positions.get((at.scale, at.state.iteration)) if at is not None else None


def _position(change: AlphaChange) -> tuple[int, int]:
    return change.scale, change.iteration


def _without_curvature(since: ResumePoint) -> ResumePoint:
    """Return the same point without L-BFGS's curvature. Adam's averages adapt by themselves."""
    state = since.state
    memory = {name: tensor for name, tensor in state.memory.items() if not name.startswith(("step_", "change_"))}
    numbers = {name: False if name == "at_rest" else value for name, value in state.numbers.items()}
    values = {field.name: getattr(since, field.name) for field in fields(ResumePoint)}
    return ResumePoint(**(values | {"state": replace(state, memory=memory, numbers=numbers)}))
