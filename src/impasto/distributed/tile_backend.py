"""One picture on several machines: actors measure its tiles, and the sums are made here.

An actor holds the network and the targets of its tiles. At every step it gets the pixels of its tiles and returns their
measurements; then it gets the gradients by these, and returns those of the pixels. Sums are made in the order of the
tiles, so neither the number of actors nor the loss of some changes a bit of the picture.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor

from impasto.config import Plan
from impasto.config.wrap import wrapped_dims
from impasto.core.encoder import Features
from impasto.distributed.connection import Cluster, ClusterError
from impasto.distributed.driver import Driver
from impasto.distributed.packing import pack, unpack
from impasto.engine.gradients import Gradients
from impasto.engine.local_tiles import LocalTiles
from impasto.engine.memory import Workload, tile_fits
from impasto.engine.tile_targets import TileStats, TileTargets
from impasto.engine.tiles import Tile, alignment_px, cut_tiles
from impasto.run import Run

__all__ = ["SERVICE", "RayTiles", "choose_tile_px", "distribute_tiles"]

logger = logging.getLogger("impasto")

SERVICE = "impasto.distributed.tile_service"
"""The module that the driver process runs."""

MAX_THREADS = 8
"""Threads of an actor: convolutions gain little from more."""

MIN_TILE_PX = 192
"""Smaller tiles consist mostly of margin."""

QUEUED_TILES = 2
"""Tiles to send to an actor in advance: it never waits, and memory holds no more."""


@dataclass(frozen=True)
class StartActors:
    """A request to start up to `count` actors with a packed encoder. The answer is True once one has started."""

    count: int
    plan: Plan
    encoder: bytes


@dataclass(frozen=True)
class NewTargets:
    """A message that the targets of `count` tiles follow, each in a message."""

    count: int


@dataclass(frozen=True)
class MeasureTiles:
    """A request to measure all tiles of an image. The results are sent in order, each in a message.

    The pixels of each tile follow, in a window of messages. With `gradients`, they are those of the request before.
    """

    method: Literal["features", "stats", "gradients"]
    precise: bool
    gradients: bytes | None = None


def distribute_tiles(run: Run, driver: Driver) -> tuple[Run, int]:
    """Return the run with its tiles measured on a driver's cluster, and the number of actors.

    If the cluster is lost, this process measures the rest. Raises `ClusterError`: the run cannot be distributed.
    """
    work, cluster, recorded = run.workload, driver.cluster, run.recorded_plan
    if work.needs_whole_image:
        raise ClusterError(
            f"style_loss = {work.config.style_loss!r} measures a whole picture, which cannot be divided. "
            "Leave out --on, or use another style loss."
        )
    fitting = max(1, min(cluster.min_cpus, cluster.cpus // 2, MAX_THREADS))
    threads = recorded.threads if recorded else run.options.threads or fitting
    count = cluster.cpus // threads
    if count < (1 if recorded else 2):
        raise ClusterError(
            f"{threads} threads each leave room for {count} actors on {cluster.cpus} processors, and a picture needs "
            "two or more. Lower --threads, or leave out --on."
        )
    plan = recorded or _plan(run, cluster, count, threads)
    _require_tiles(work, plan, cluster, is_recorded=recorded is not None)
    count = min(count, len(_tiles(work, plan.tile_px)), *([cluster.gpus] if plan.device == "cuda" else []))
    return replace(run, recorded_plan=plan, tile_backend=lambda local: RayTiles(driver, local, plan, count)), count


def _require_tiles(work: Workload, plan: Plan, cluster: Cluster, *, is_recorded: bool) -> None:
    """Raise `ClusterError` if a plan has one tile, joins its tiles, or needs a device that the cluster lacks."""
    if plan.engine != "manual" or len(_tiles(work, plan.tile_px)) < 2:
        raise ClusterError(
            "This run was started without tiles and must continue so. Leave out --on."
            if is_recorded
            else f"{work.width}x{work.height} px are too few for several machines. Raise --size, or leave out --on."
        )
    if plan.join is not None:
        raise ClusterError("This run was started on one machine, where its tiles are put together. Leave out --on.")
    if plan.device == "cuda" and cluster.gpus < 1:
        raise ClusterError("This machine has a graphics card, and the cluster has none. Say --device cpu.")


def _plan(run: Run, cluster: Cluster, count: int, threads: int) -> Plan:
    """Return the plan of this machine, with tiles that fit the memory of the actors."""
    options = run.options.model_copy(update={"threads": threads})
    plan = Run(run.inputs, run.config, options).plan
    room = run.options.memory or cluster.memory / count
    return plan.model_copy(update={"tile_px": choose_tile_px(run.workload, plan, count, room), "join": None})


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
    return cut_tiles(work.network, work.layers, work.height, work.width, tile_px, wrapped_dims(work.config.wrap))


class RayTiles:
    """Measures tiles with a pool of actors, and in this process once the actors are lost.

    The results are, to the bit, those of `LocalTiles` with the same tiles, precision and threads. Raises `ClusterError`
    if no actor starts.
    """

    def __init__(self, driver: Driver, local: LocalTiles, plan: Plan, count: int) -> None:
        self.driver, self.local, self.device = driver, local, plan.device
        self.lost = False
        self._window = QUEUED_TILES * count
        self._tiles: Sequence[TileTargets] = ()
        driver.send(StartActors(count, plan, pack(local.encoder)))
        driver.receive()

    def features(self, image: Tensor, tiles: Sequence[TileTargets]) -> Iterator[tuple[TileTargets, Features]]:
        """Yield the own features of each tile."""
        for tile, features in zip(tiles, self._measure(MeasureTiles("features", True), image, tiles), strict=True):
            yield (tile, features) if features is not None else next(self.local.features(image, [tile]))

    def stats(self, image: Tensor, tiles: Sequence[TileTargets], *, precise: bool) -> Iterator[TileStats]:
        """Yield the content errors and moments of each tile."""
        for tile, stats in zip(tiles, self._measure(MeasureTiles("stats", precise), image, tiles), strict=True):
            yield stats if stats is not None else next(self.local.stats(image, [tile], precise=precise))

    def gradients(
        self, image: Tensor, tiles: Sequence[TileTargets], gradients: Gradients, *, precise: bool
    ) -> Iterator[tuple[TileTargets, Tensor]]:
        """Yield d(total)/d(pixels) of each tile with its margin."""
        request = MeasureTiles("gradients", precise, pack(gradients))
        for tile, gradient in zip(tiles, self._measure(request, image, tiles), strict=True):
            if gradient is not None:
                yield tile, gradient
            else:
                yield from self.local.gradients(image, [tile], gradients, precise=precise)

    def _measure(self, request: MeasureTiles, image: Tensor, tiles: Sequence[TileTargets]) -> Iterator[Any]:
        """Yield the result of each tile, or None once the actors are lost."""
        received = 0
        if not self.lost:
            try:
                self._send_targets(tiles)
                for data in self._request(request, image, tiles):
                    received += 1
                    yield unpack(data, self.device)
            except ClusterError as error:
                self.lost = True
                logger.warning("%s: continuing on this machine", str(error).partition(". ")[0].rstrip("."))
        for _ in tiles[received:]:
            yield None

    def _send_targets(self, tiles: Sequence[TileTargets]) -> None:
        """Send targets if they have changed; actors fetch those of their tiles."""
        if self._tiles is tiles:
            return
        self._tiles = tiles
        self.driver.send(NewTargets(len(tiles)))
        for tile in tiles:
            self.driver.send(pack(tile))
            self.local.store.release(*tile.tensors)

    def _request(self, request: MeasureTiles, image: Tensor, tiles: Sequence[TileTargets]) -> Iterator[bytes]:
        """Send a request, and the pixels of its tiles a few tiles ahead of the results."""
        self.driver.send(request)
        sent = len(tiles) if request.gradients is not None else 0
        for number in range(len(tiles)):
            for tile in tiles[sent : number + self._window]:
                self.driver.send(pack(tile.tile.crop(image)))
                self.local.store.release(image)
                sent += 1
            yield self.driver.receive()
