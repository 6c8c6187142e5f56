"""One picture on many machines: its tiles are measured by actors, and all that is summed is summed here.

An actor keeps the network and its tiles' portions of the objective. At every step it is sent the pixels of its tiles,
and sends back what they add; then it is sent the slopes, and sends back the gradient. Sums are taken in the order of
the tiles, so how many actors there are, and which of them die, changes no bit of the picture.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from torch import Tensor

from impasto.cluster.connection import Cluster, ClusterError, require_version, with_threads
from impasto.cluster.measurer import Measurer, Task, sending_tensors
from impasto.compose import Atelier, Session
from impasto.config import Plan
from impasto.encoder import Encoder, Features
from impasto.engine import DTYPES
from impasto.engine.budget import Work, block_fits
from impasto.engine.chain import Chain
from impasto.engine.chained import ChainedEngine
from impasto.engine.portions import Portion, Survey
from impasto.engine.slopes import Slopes
from impasto.engine.tiles import Tile, alignment, cut
from impasto.evaluate import Engine
from impasto.jobs.errors import in_a_line
from impasto.objective import Objective
from impasto.store import Store

__all__ = ["SpreadEngine", "Team", "block_for", "spread"]

THREADS = 8
"""Of an actor, at most: convolutions of more gain little by each."""

AHEAD = 2
"""Tiles that an actor has before it is done with them, so that it never waits, and no more than that is in memory."""

JOIN_S = 60.0
"""How long the first actor, or the last one's successor, may take to be there: it starts in four seconds here."""

SMALLEST = 192
"""Pixels a side of a block: the margins of smaller ones are most of them."""


@contextmanager
def spread(session: Session, cluster: Cluster) -> Iterator[tuple[Session, Team]]:
    """The same session with its tiles on a cluster, and the team that measures them; it goes when this is left.

    Raises `ClusterError`: nothing to be spread, or nobody to do it.
    """
    work = session.work
    if work.is_whole:
        raise ClusterError(
            f"style_loss = {work.config.style_loss!r} looks at a whole picture, which cannot be spread over machines. "
            "Leave out --on, or take another style_loss."
        )
    recorded = session.recorded_plan
    fitting = max(1, min(cluster.least_cpus, cluster.cpus // 2, THREADS))
    threads = recorded.threads if recorded else session.run.threads or fitting
    count = cluster.cpus // threads
    if count < (1 if recorded else 2):
        raise ClusterError(
            f"{threads} threads each leave room for {count} actors on {cluster.cpus} processors, and a picture is "
            "spread over two or more. Lower --threads, or leave out --on."
        )
    plan = recorded or _plan(session, cluster, count, threads)
    if plan.evaluator != "chained" or len(_tiles(work, plan.block)) < 2:
        raise ClusterError(
            "This run was begun in one piece, and goes on in one piece. Leave out --on."
            if recorded
            else f"{work.width}x{work.height} px are too few to be spread. Raise --size, or leave out --on."
        )
    team = Team(min(count, len(_tiles(work, plan.block))), threads, gpus=int(plan.device == "cuda"))
    try:
        yield replace(session, recorded_plan=plan, atelier=Spreading(team)), team
    finally:
        team.leave()


def _plan(session: Session, cluster: Cluster, count: int, threads: int) -> Plan:
    """That of this machine, in blocks that the others have room for."""
    run = session.run.model_copy(update={"threads": threads})
    plan = replace(session, run=run).plan
    room = session.run.memory or cluster.memory / count
    return plan.model_copy(update={"block": block_for(session.work, plan, count, room)})


def block_for(work: Work, plan: Plan, count: int, room: float) -> int:
    """The block for which so many actors are done soonest, of those that fit `room` bytes."""
    step = alignment(work.network, work.layers)
    largest = min(plan.block or max(work.height, work.width), max(work.height, work.width))

    def cost(block: int) -> float:
        """Pixels of the busiest actor, twice on the way there unless it keeps its one tile, and once back."""
        loads = [0.0] * count
        tiles = _tiles(work, block)
        for number, tile in enumerate(tiles):
            loads[number % count] += (tile.down.last - tile.down.first) * (tile.across.last - tile.across.first)
        return max(loads) * (2 if len(tiles) <= count else 3)

    sides = {
        -(-side // parts // step) * step
        for side in (work.height, work.width)
        for parts in range(1, side // SMALLEST + 1)
    }
    fitting = [
        side for side in sides if side <= largest and block_fits(work, side, room, plan.precision, plan.winograd)
    ]
    # Of those as good, the largest: fewer bytes are sent.
    return min(sorted(fitting, reverse=True), key=cost, default=min(largest, SMALLEST))


def _tiles(work: Work, block: int) -> list[Tile]:
    return cut(work.network, work.layers, work.height, work.width, block)


class Spreading(Atelier):
    """An atelier whose engines are spread over a team."""

    def __init__(self, team: Team) -> None:
        super().__init__()
        self.team = team

    def engine(self, plan: Plan, encoder: Encoder, scratch: Store | None) -> Engine:
        """What measures with this team."""
        self.team.hire(encoder, plan)
        return SpreadEngine(self.team, plan, encoder, scratch)


class Team:
    """Up to `count` actors of so many threads each. One that is lost is replaced where there is room."""

    def __init__(self, count: int, threads: int, *, gpus: int = 0) -> None:
        self.count = count
        self.members: list[Any] = []
        self.lost = 0
        self._class: Any = ray.remote(Measurer).options(
            num_cpus=threads, num_gpus=gpus, scheduling_strategy="SPREAD", runtime_env=with_threads(threads)
        )
        self._network: list[Any] = []
        self._joining: dict[Any, Any] = {}
        self._unfit = ""

    def hire(self, encoder: Encoder, plan: Plan) -> None:
        """Have actors with this network. Raises `ClusterError`: none came."""
        sending_tensors(plan.device)
        self._network = [ray.put(encoder), plan]
        for _ in range(self.count):
            self._invite()
        self.welcome(JOIN_S)
        if not self.members and self._unfit:
            raise ClusterError(f"No actor could begin: {self._unfit}")
        if not self.members:
            raise ClusterError(
                f"The cluster had no room for an actor of {plan.threads} processors within {JOIN_S:.0f} s. What else "
                "it does is shown by: ray status"
            )

    def leave(self) -> None:
        """Let all go."""
        for actor in (*self.members, *self._joining.values()):
            ray.kill(actor)
        self.members, self._joining = [], {}

    def each(self, count: int, ask: Callable[[Any, int, bool], Any]) -> Iterator[Any]:
        """What `ask(actor, tile, is alone)` comes to for each of so many tiles, in their order, whoever dies meanwhile.

        None where there is nobody left to be asked. A tile has the same actor at every step, while that lives.
        """
        self.welcome(0)
        places: dict[int, Any] = {}

        def start(tile: int) -> Any:
            if places.get(tile) not in self.members:
                places[tile] = self.members[tile % len(self.members)] if self.members else None
            if places[tile] is None:
                return None
            return ask(places[tile], tile, count <= len(self.members))

        running = collections.deque(start(tile) for tile in range(min(count, AHEAD * len(self.members))))
        for tile in range(count):
            reference = running.popleft() if running else start(tile)
            found = None
            while reference is not None:
                try:
                    found = ray.get(reference)
                    break
                except RayTaskError as error:
                    raise ClusterError(f"A tile could not be measured: {in_a_line(error.cause)[:300]}") from error
                except RayError:
                    self._lose(places[tile])
                    reference = start(tile)
            if running:
                ahead = tile + len(running) + 1
                if ahead < count:
                    running.append(start(ahead))
            yield found
            del found

    def _lose(self, actor: Any) -> None:
        """One is gone; somebody is asked to come in its place."""
        if actor in self.members:
            self.members.remove(actor)
            self.lost += 1
            self._invite()
            self.welcome(0 if self.members else JOIN_S)

    def _invite(self) -> None:
        actor = self._class.remote(*self._network)
        self._joining[actor.ready.remote()] = actor

    def welcome(self, patience_s: float) -> None:
        """Take in who is there by now, waiting for a first one for so long."""
        until = time.monotonic() + patience_s
        while self._joining:
            left = 0.0 if self.members else max(0.0, until - time.monotonic())
            ready, _ = ray.wait(list(self._joining), timeout=left)
            if not ready:
                return
            for reference in ready:
                actor = self._joining.pop(reference)
                try:
                    require_version(*ray.get(reference))
                    self.members.append(actor)
                except (ClusterError, RayError) as error:  # another Impasto, none at all, or it went with its machine
                    self._unfit = in_a_line(error)[:300]
                    ray.kill(actor)


class SpreadEngine(ChainedEngine):
    """An engine whose tiles are measured by a team. A picture of one tile is measured here, and all if nobody is left.

    The answers are, to the bit, those of an engine on one machine with the same block, precision and threads.
    """

    def __init__(self, team: Team, plan: Plan, encoder: Encoder, store: Store | None) -> None:
        super().__init__(encoder, dtype=DTYPES[plan.precision], winograd=plan.winograd, block=plan.block, store=store)
        self.team = team
        self._asked: tuple[Objective | None, list[Portion]] = None, []
        self._portioned: tuple[list[Portion], list[Any]] = [], []
        self._pixels: dict[int, Any] = {}
        self._objectives = self._evaluations = 0

    def _features(self, image: Tensor, portions: list[Portion]) -> Iterator[tuple[Portion, Features]]:
        self._begin(portions)

        def ask(actor: Any, tile: int, alone: bool) -> Any:
            return actor.features.remote(self._task(self.exact, tile), self._sent(image, portions, tile))

        for portion, found in zip(portions, self.team.each(len(portions), ask), strict=True):
            if found is None:
                yield from super()._features(image, [portion])
            else:
                yield portion, found

    def _surveys(self, chain: Chain, image: Tensor, portions: list[Portion]) -> Iterator[Survey]:
        if len(portions) == 1:
            yield from super()._surveys(chain, image, portions)
            return
        self._begin(portions)

        def ask(actor: Any, tile: int, alone: bool) -> Any:
            return actor.survey.remote(self._task(chain, tile), self._sent(image, portions, tile), keep=alone)

        for portion, found in zip(portions, self.team.each(len(portions), ask), strict=True):
            yield found if found is not None else next(super()._surveys(chain, image, [portion]))

    def _gradients(
        self, chain: Chain, image: Tensor, portions: list[Portion], slopes: Slopes
    ) -> Iterator[tuple[Portion, Tensor]]:
        sent = ray.put(slopes)

        def ask(actor: Any, tile: int, alone: bool) -> Any:
            return actor.gradient.remote(self._task(chain, tile), self._sent(image, portions, tile), sent)

        for number, (portion, found) in enumerate(zip(portions, self.team.each(len(portions), ask), strict=True)):
            self._pixels.pop(number, None)
            if found is None:
                yield from super()._gradients(chain, image, [portion], slopes)
            else:
                yield portion, found

    def _portions(self, objective: Objective, image: Tensor) -> list[Portion]:
        """Of one objective always the same list, by which `_begin` knows that it was sent."""
        if self._asked[0] is not objective:
            self._asked = objective, super()._portions(objective, image)
        return self._asked[1]

    def _begin(self, portions: list[Portion]) -> None:
        """Another picture is to be measured. What belongs to tiles is sent once, and fetched by who needs it."""
        self._pixels = {}
        self._evaluations += 1
        if self._portioned[0] is not portions:
            self._objectives += 1
            self._portioned = portions, []  # what was there may go before as much comes
            for portion in portions:
                self._portioned[1].append(ray.put(portion))
                self.store.release(*portion.maps)

    def _task(self, chain: Chain, tile: int) -> Task:
        return Task(chain is self.exact, self._objectives, self._evaluations, tile, [self._portioned[1][tile]])

    def _sent(self, image: Tensor, portions: list[Portion], tile: int) -> Any:
        """A tile's pixels, which machines that have them are not sent again for the way back."""
        if tile not in self._pixels:
            self._pixels[tile] = ray.put(image[portions[tile].tile.window])
            self.store.release(image)
        return self._pixels[tile]
