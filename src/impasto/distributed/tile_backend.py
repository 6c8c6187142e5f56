"""One picture on many machines: its tiles are measured by actors, and all that is summed is summed here.

An actor keeps the network and its tiles' portions of the objective. At every step it is sent the pixels of its tiles,
and sends back what they add; then it is sent the slopes, and sends back the gradient. Sums are taken in the order of
the tiles, so how many actors there are, and which of them die, changes no bit of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from torch import Tensor

from impasto.config import Plan
from impasto.core.encoder import Encoder, Features
from impasto.core.evaluate import Engine
from impasto.core.objective import Objective
from impasto.core.tensor_store import TensorStore
from impasto.distributed.actor_pool import ActorPool
from impasto.distributed.connection import Cluster, ClusterError
from impasto.distributed.tile_actor import Task
from impasto.engine import DTYPES
from impasto.engine.backprop import ManualBackprop
from impasto.engine.gradients import Gradients
from impasto.engine.memory import Workload, tile_fits
from impasto.engine.tile_targets import TileStats, TileTargets
from impasto.engine.tiled import TiledEngine
from impasto.engine.tiles import Tile, alignment, cut
from impasto.run import Run
from impasto.run.model_cache import ModelCache

__all__ = ["ActorPool", "SpreadEngine", "block_for", "spread"]

THREADS = 8
"""Of an actor, at most: convolutions of more gain little by each."""

SMALLEST = 192
"""Pixels a side of a block: the margins of smaller ones are most of them."""


@contextmanager
def spread(
    session: Run, cluster: Cluster, *, tell: Callable[[str], None] = lambda _: None
) -> Iterator[tuple[Run, ActorPool]]:
    """The same session with its tiles on a cluster, and the team that measures them; it goes when this is left.

    If the cluster goes meanwhile, this process goes on by itself, and somebody is told of it.

    Raises `ClusterError`: nothing to be spread, or nobody to do it.
    """
    work = session.workload
    if work.needs_whole_image:
        raise ClusterError(
            f"style_loss = {work.config.style_loss!r} looks at a whole picture, which cannot be spread over machines. "
            "Leave out --on, or take another style_loss."
        )
    recorded = session.recorded_plan
    fitting = max(1, min(cluster.min_cpus, cluster.cpus // 2, THREADS))
    threads = recorded.threads if recorded else session.options.threads or fitting
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
    if plan.device == "cuda" and cluster.gpus < 1:
        raise ClusterError("This machine has a graphics card, and the cluster has none. Say --device cpu.")
    count = min(count, len(_tiles(work, plan.block)), *([cluster.gpus] if plan.device == "cuda" else []))
    team = ActorPool(count, threads, gpus=int(plan.device == "cuda"), warn=tell)
    try:
        yield Run(session.inputs, session.config, session.options, plan, Spreading(team), session.schedule), team
    finally:
        team.close()


def _plan(session: Run, cluster: Cluster, count: int, threads: int) -> Plan:
    """That of this machine, in blocks that the others have room for."""
    run = session.options.model_copy(update={"threads": threads})
    plan = Run(session.inputs, session.config, run).plan
    room = session.options.memory or cluster.memory / count
    return plan.model_copy(update={"block": block_for(session.workload, plan, count, room)})


def block_for(work: Workload, plan: Plan, count: int, room: float) -> int:
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
    fitting = [side for side in sides if side <= largest and tile_fits(work, side, room, plan.precision, plan.winograd)]
    # Of those as good, the largest: fewer bytes are sent.
    return min(sorted(fitting, reverse=True), key=cost, default=min(largest, SMALLEST))


def _tiles(work: Workload, block: int) -> list[Tile]:
    return cut(work.network, work.layers, work.height, work.width, block)


class Spreading(ModelCache):
    """An atelier whose engines are spread over a team."""

    def __init__(self, team: ActorPool) -> None:
        super().__init__()
        self.team = team

    def engine(self, plan: Plan, encoder: Encoder, scratch: TensorStore | None) -> Engine:
        """What measures with this team."""
        self.team.start(encoder, plan)
        return SpreadEngine(self.team, plan, encoder, scratch)


class SpreadEngine(TiledEngine):
    """An engine whose tiles are measured by a team. A picture of one tile is measured here, and all if nobody is left.

    The answers are, to the bit, those of an engine on one machine with the same block, precision and threads.
    """

    def __init__(self, team: ActorPool, plan: Plan, encoder: Encoder, store: TensorStore | None) -> None:
        super().__init__(encoder, dtype=DTYPES[plan.precision], winograd=plan.winograd, block=plan.block, store=store)
        self.team = team
        self._asked: tuple[Objective | None, list[TileTargets]] = None, []
        self._portioned: tuple[list[TileTargets], list[Any]] = [], []
        self._pixels: dict[int, Any] = {}
        self._objectives = self._evaluations = 0

    def _features(self, image: Tensor, portions: list[TileTargets]) -> Iterator[tuple[TileTargets, Features]]:
        self._begin(portions)

        def ask(actor: Any, tile: int, alone: bool) -> Any:
            return actor.features.remote(self._task(self.exact, tile), self._sent(image, portions, tile))

        for portion, found in zip(portions, self.team.run(len(portions), ask), strict=True):
            if found is None:
                yield from super()._features(image, [portion])
            else:
                yield portion, found

    def _surveys(self, chain: ManualBackprop, image: Tensor, portions: list[TileTargets]) -> Iterator[TileStats]:
        if len(portions) == 1:
            yield from super()._surveys(chain, image, portions)
            return
        self._begin(portions)

        def ask(actor: Any, tile: int, alone: bool) -> Any:
            return actor.survey.remote(self._task(chain, tile), self._sent(image, portions, tile), keep=alone)

        for portion, found in zip(portions, self.team.run(len(portions), ask), strict=True):
            yield found if found is not None else next(super()._surveys(chain, image, [portion]))

    def _gradients(
        self, chain: ManualBackprop, image: Tensor, portions: list[TileTargets], slopes: Gradients
    ) -> Iterator[tuple[TileTargets, Tensor]]:
        sent = self.team.put(slopes)

        def ask(actor: Any, tile: int, alone: bool) -> Any:
            return actor.gradient.remote(self._task(chain, tile), self._sent(image, portions, tile), sent)

        for number, (portion, found) in enumerate(zip(portions, self.team.run(len(portions), ask), strict=True)):
            self._pixels.pop(number, None)
            if found is None:
                yield from super()._gradients(chain, image, [portion], slopes)
            else:
                yield portion, found

    def _portions(self, objective: Objective, image: Tensor) -> list[TileTargets]:
        """Of one objective always the same list, by which `_begin` knows that it was sent."""
        if self._asked[0] is not objective:
            self._asked = objective, super()._portions(objective, image)
        return self._asked[1]

    def _begin(self, portions: list[TileTargets]) -> None:
        """Another picture is to be measured. What belongs to tiles is sent once, and fetched by who needs it."""
        self._pixels = {}
        self._evaluations += 1
        if self._portioned[0] is not portions:
            self._objectives += 1
            self._portioned = portions, []  # what was there may go before as much comes
            for portion in portions:
                self._portioned[1].append(self.team.put(portion))
                self.store.release(*portion.maps)

    def _task(self, chain: ManualBackprop, tile: int) -> Task:
        return Task(chain is self.exact, self._objectives, self._evaluations, tile, [self._portioned[1][tile]])

    def _sent(self, image: Tensor, portions: list[TileTargets], tile: int) -> Any:
        """A tile's pixels, which machines that have them are not sent again for the way back."""
        if tile not in self._pixels:
            self._pixels[tile] = ray.put(image[portions[tile].tile.window])
            self.store.release(image)
        return self._pixels[tile]
