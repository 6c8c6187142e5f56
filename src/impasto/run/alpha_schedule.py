"""Part of the composition root: α changed while a run goes, at the boundary of a step."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import fields, replace

from impasto.config import Config
from impasto.core.method import Progress, ResumePoint
from impasto.run.recipe import AlphaChange

__all__ = ["AlphaSchedule"]


class AlphaSchedule:
    """Where α is turned: `turns` that are known of, to be replayed, and those that are made meanwhile.

    A turn ends the run after a step and begins it again from there, with another α and without the curvature that
    L-BFGS had gathered of another surface. So the same turns give the same bits, whoever makes them.
    """

    def __init__(self, turns: Iterable[AlphaChange] = ()) -> None:
        self.turns = tuple(sorted(turns, key=lambda turn: (turn.scale, turn.iteration)))

    def turn(self, at: ResumePoint, alpha: float) -> AlphaChange:
        """Go on with this α after the step `at`, which must be the latest."""
        turn = AlphaChange(scale=at.scale, iteration=at.state.iteration, alpha=alpha)
        self.turns = (*(known for known in self.turns if _place(known) != _place(turn)), turn)
        return turn

    def before(self, scale: int, iteration: int) -> tuple[AlphaChange, ...]:
        """The turns that a run took on its way to a step."""
        return tuple(turn for turn in self.turns if _place(turn) < (scale, iteration))

    def config_at(self, scale: int, iteration: int, config: Config) -> Config:
        """The options that hold at a step: those of the run, with the α of its last turn."""
        turns = self.before(scale, iteration)
        return config.model_copy(update={"alpha": turns[-1].alpha}) if turns else config

    def steps(
        self,
        begin: Callable[[Config, ResumePoint | None], Generator[Progress, None, None]],
        config: Config,
        since: ResumePoint | None = None,
    ) -> Generator[Progress, None, None]:
        """The steps of a run that `begin` begins, begun again wherever it is turned."""
        while True:
            turn = self._turn_at(since)
            if turn is not None and since is not None:
                config, since = config.model_copy(update={"alpha": turn.alpha}), _unbent(since)
            steps = begin(config, since)
            for progress in steps:
                yield progress
                if self._turn_at(progress) is not None and not progress.is_last:
                    steps.close()
                    since = progress
                    break
            else:
                return

    def _turn_at(self, at: ResumePoint | None) -> AlphaChange | None:
        places = {_place(turn): turn for turn in self.turns}
        return places.get((at.scale, at.state.iteration)) if at is not None else None


def _place(turn: AlphaChange) -> tuple[int, int]:
    return turn.scale, turn.iteration


def _unbent(since: ResumePoint) -> ResumePoint:
    """The same place, without what descent knew of the curvature there. Adam's averages follow by themselves."""
    state = since.state
    memory = {name: tensor for name, tensor in state.memory.items() if not name.startswith(("step_", "change_"))}
    numbers = {name: False if name == "at_rest" else value for name, value in state.numbers.items()}
    standing = {field.name: getattr(since, field.name) for field in fields(ResumePoint)}
    return ResumePoint(**(standing | {"state": replace(state, memory=memory, numbers=numbers)}))
