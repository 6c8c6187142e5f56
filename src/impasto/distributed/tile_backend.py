"""One picture on several machines: actors measure its tiles, and the sums are made here.

An actor holds the network and the targets of its tiles. At every step it gets the pixels of its tiles and returns their
measurements; then it gets the gradients by these, and returns those of the pixels. Sums are made in the order of the
tiles, so neither the number of actors nor the loss of some changes a bit of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from torch import Tensor

from impasto.config import Plan
from impasto.core.encoder import Features
from impasto.distributed.actor_pool import ActorPool
from impasto.distributed.connection import Cluster, ClusterError
from impasto.distributed.tile_actor import Task
from impasto.engine.gradients import Gradients
from impasto.engine.local_tiles import LocalTiles
from impasto.engine.memory import Workload, tile_fits
from impasto.engine.tile_targets import TileStats, TileTargets
from impasto.engine.tiles import Tile, alignment_px, cut_tiles
from impasto.run import Run

__all__ = ["ActorPool", "RayTiles", "choose_tile_px", "spread"]

MAX_THREADS = 8
"""Threads of an actor: convolutions gain little from more."""

MIN_TILE_PX = 192
"""Smaller tiles consist mostly of margin."""


@contextmanager
def spread(
    session: Run, cluster: Cluster, *, tell: Callable[[str], None] = lambda _: None
) -> Iterator[tuple[Run, ActorPool]]:
    """Measure the tiles of a run on a cluster; yield the run and the actors, which stop at the end.

    If the cluster is lost, this process measures the rest, and `tell` gets a message.

    Raises `ClusterError`: nothing to distribute, or no actors.
    """
    work = session.workload
    if work.needs_whole_image:
        raise ClusterError(
            f"style_loss = {work.config.style_loss!r} looks at a whole picture, which cannot be spread over machines. "
            "Leave out --on, or use another style loss."
        )
    recorded = session.recorded_plan
    fitting = max(1, min(cluster.min_cpus, cluster.cpus // 2, MAX_THREADS))
    threads = recorded.threads if recorded else session.options.threads or fitting
    count = cluster.cpus // threads
    if count < (1 if recorded else 2):
        raise ClusterError(
            f"{threads} threads each leave room for {count} actors on {cluster.cpus} processors, and a picture is "
            "spread over two or more. Lower --threads, or leave out --on."
        )
    plan = recorded or _plan(session, cluster, count, threads)
    _require_tiles(work, plan, cluster, is_recorded=recorded is not None)
    count = min(count, len(_tiles(work, plan.tile_px)), *([cluster.gpus] if plan.device == "cuda" else []))
    team = ActorPool(count, threads, gpus=int(plan.device == "cuda"), warn=tell)

    def connect(local: LocalTiles) -> RayTiles:
        team.start(local.encoder, plan)
        return RayTiles(team, local)

    arguments = session.inputs, session.config, session.options, plan
    try:
        run = Run(*arguments, schedule=session.schedule, tile_backend=connect, recorded_config=session.recorded_config)
        yield run, team
    finally:
        team.close()


def _require_tiles(work: Workload, plan: Plan, cluster: Cluster, *, is_recorded: bool) -> None:
    """Raise `ClusterError` if a plan has one tile, or needs a device that the cluster lacks."""
    if plan.engine != "manual" or len(_tiles(work, plan.tile_px)) < 2:
        raise ClusterError(
            "This run was started without tiles and must continue so. Leave out --on."
            if is_recorded
            else f"{work.width}x{work.height} px are too few to be spread. Raise --size, or leave out --on."
        )
    if plan.device == "cuda" and cluster.gpus < 1:
        raise ClusterError("This machine has a graphics card, and the cluster has none. Say --device cpu.")


def _plan(session: Run, cluster: Cluster, count: int, threads: int) -> Plan:
    """Return the plan of this machine, with tiles that fit the memory of the actors."""
    run = session.options.model_copy(update={"threads": threads})
    plan = Run(session.inputs, session.config, run).plan
    room = session.options.memory or cluster.memory / count
    return plan.model_copy(update={"tile_px": choose_tile_px(session.workload, plan, count, room)})


def choose_tile_px(work: Workload, plan: Plan, count: int, room: float) -> int:
    """Return the tile size at which `count` actors finish first, of those that fit `room` bytes."""
    step = alignment_px(work.network, work.layers)
    largest = min(plan.tile_px or max(work.height, work.width), max(work.height, work.width))

    def cost(tile_px: int) -> float:
        """Return the pixels of the busiest actor: two forward passes unless it keeps its one tile, and one back."""
        loads = [0.0] * count
        tiles = _tiles(work, tile_px)
        for number, tile in enumerate(tiles):
            loads[number % count] += tile.pixels
        return max(loads) * (2 if len(tiles) <= count else 3)

    sides = {
        -(-side // parts // step) * step
        for side in (work.height, work.width)
        for parts in range(1, side // MIN_TILE_PX + 1)
    }
    fitting = [
        side
        for side in sides
        if side <= largest and tile_fits(work, side, room, plan.precision, plan.winograd_channels)
    ]
    # Of equally good sizes, the largest: it sends fewer bytes.
    return min(sorted(fitting, reverse=True), key=cost, default=min(largest, MIN_TILE_PX))


def _tiles(work: Workload, tile_px: int | None) -> list[Tile]:
    return cut_tiles(work.network, work.layers, work.height, work.width, tile_px)


class RayTiles:
    """Measures tiles with a pool of actors, and in this process once all actors are lost.

    The results are, to the bit, those of `LocalTiles` with the same tiles, precision and threads.
    """

    def __init__(self, pool: ActorPool, local: LocalTiles) -> None:
        self.pool, self.local = pool, local
        self._tiles: Sequence[TileTargets] = []
        self._targets: list[Any] = []
        self._pixels: dict[int, Any] = {}
        self._objectives = self._evaluations = 0

    def features(self, image: Tensor, tiles: Sequence[TileTargets]) -> Iterator[tuple[TileTargets, Features]]:
        """Yield the own features of each tile."""
        self._begin(tiles)

        def call(actor: Any, number: int, alone: bool) -> Any:
            return actor.features.remote(self._task(number, precise=True), self._send(image, number))

        for tile, features in zip(tiles, self.pool.run(len(tiles), call), strict=True):
            if features is None:
                yield from self.local.features(image, [tile])
            else:
                yield tile, features

    def stats(self, image: Tensor, tiles: Sequence[TileTargets], *, precise: bool) -> Iterator[TileStats]:
        """Yield the content errors and moments of each tile."""
        self._begin(tiles)

        def call(actor: Any, number: int, alone: bool) -> Any:
            return actor.stats.remote(self._task(number, precise=precise), self._send(image, number), keep=alone)

        for tile, stats in zip(tiles, self.pool.run(len(tiles), call), strict=True):
            yield stats if stats is not None else next(self.local.stats(image, [tile], precise=precise))

    def gradients(
        self, image: Tensor, tiles: Sequence[TileTargets], gradients: Gradients, *, precise: bool
    ) -> Iterator[tuple[TileTargets, Tensor]]:
        """Yield d(total)/d(pixels) of each tile with its margin."""
        sent = self.pool.put(gradients)

        def call(actor: Any, number: int, alone: bool) -> Any:
            return actor.gradient.remote(self._task(number, precise=precise), self._send(image, number), sent)

        results = self.pool.run(len(tiles), call)
        for number, (tile, gradient) in enumerate(zip(tiles, results, strict=True)):
            self._pixels.pop(number, None)
            if gradient is None:
                yield from self.local.gradients(image, [tile], gradients, precise=precise)
            else:
                yield tile, gradient

    def _begin(self, tiles: Sequence[TileTargets]) -> None:
        """Start with another image. Targets are sent only when they change; actors fetch those of their tiles."""
        self._pixels = {}
        self._evaluations += 1
        if self._tiles is not tiles:
            self._objectives += 1
            self._tiles, self._targets = tiles, []  # frees the old ones before as much is sent again
            for tile in tiles:
                self._targets.append(self.pool.put(tile))
                self.local.store.release(*tile.tensors)

    def _task(self, number: int, *, precise: bool) -> Task:
        return Task(precise, self._objectives, self._evaluations, number, [self._targets[number]])

    def _send(self, image: Tensor, number: int) -> Any:
        """Send a tile's pixels once per evaluation: the gradient needs them again."""
        if number not in self._pixels:
            self._pixels[number] = ray.put(image[self._tiles[number].tile.window])
            self.local.store.release(image)
        return self._pixels[number]
