"""The driver process of `RayTiles`: gives tiles to a pool of Ray actors. Its argument is an address."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Iterator
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from impasto.distributed.connection import Cluster, ClusterError, actor_environment, require_version
from impasto.distributed.driver import Channel, serve
from impasto.distributed.tile_actor import TileActor, TileTask
from impasto.distributed.tile_backend import QUEUED_TILES, MeasureTiles, NewTargets, StartActors
from impasto.errors import one_line

__all__ = ["ActorPool", "measure_tiles"]

START_TIMEOUT_S = 60.0
"""Time for the first actor to start, or the replacement of the last one: 4 s here."""


class ActorPool:
    """Up to as many actors as requested. Failed actors are replaced. Raises `ClusterError` if there is none."""

    def __init__(self, request: StartActors) -> None:
        plan = request.plan
        self.actors: list[Any] = []
        self.failures = 0
        self._starting: dict[Any, Any] = {}
        self._error = (
            f"The cluster had no room for an actor of {plan.threads} processors within {START_TIMEOUT_S:.0f} s. "
            "Show its load with: ray status"
        )
        self._arguments = ray.put(request.encoder), plan
        self._class: Any = ray.remote(TileActor).options(
            num_cpus=plan.threads,
            num_gpus=int(plan.device == "cuda"),
            scheduling_strategy="SPREAD",
            runtime_env=actor_environment(plan.threads),
        )
        for _ in range(request.count):
            self._start_actor()
        self._accept_started(START_TIMEOUT_S)

    def run(self, count: int, call: Callable[[Any, int, bool], Any]) -> Iterator[bytes]:
        """Yield `call(actor, tile, keep)` for every tile in order. Replace failed actors and retry their tiles.

        A tile goes to the same actor at every step, while it lives. Raises `ClusterError` if no actor is left.
        """
        self._accept_started(0)
        assigned: dict[int, Any] = {}
        pending: collections.deque[Any] = collections.deque()

        def start(tile: int) -> Any:
            if assigned.get(tile) not in self.actors:
                assigned[tile] = self.actors[tile % len(self.actors)]
            return call(assigned[tile], tile, count <= len(self.actors))

        for tile in range(count):
            last = min(count, tile + QUEUED_TILES * len(self.actors))
            pending.extend(start(number) for number in range(tile + len(pending), last))
            reference = pending.popleft()
            while True:
                try:
                    result: bytes = ray.get(reference)
                    break
                except RayTaskError as error:
                    raise ClusterError(f"An actor failed to measure a tile: {one_line(error.cause)[:300]}") from error
                except RayError:
                    self._replace(assigned[tile])
                    reference = start(tile)
            yield result

    def _replace(self, actor: Any) -> None:
        """Replace a failed actor. If it was the last one, wait for the new one."""
        if actor in self.actors:
            self.actors.remove(actor)
            self.failures += 1
            self._start_actor()
            self._accept_started(START_TIMEOUT_S)

    def _start_actor(self) -> None:
        actor = self._class.remote(*self._arguments)
        self._starting[actor.ready.remote()] = actor

    def _accept_started(self, timeout_s: float) -> None:
        """Add the actors that have started. While there is none, wait for one until a timeout."""
        deadline_s = time.monotonic() + timeout_s
        while self._starting:
            left_s = 0.0 if self.actors else max(0.0, deadline_s - time.monotonic())
            ready, _ = ray.wait(list(self._starting), timeout=left_s)
            if not ready:
                break
            actor = self._starting.pop(ready[0])
            try:
                require_version(*ray.get(ready[0]))
                self.actors.append(actor)
            except (ClusterError, RayError) as error:  # another version, or its machine died
                self._error = f"No actor could start: {one_line(error)[:300]}"
                ray.kill(actor)
        if not self.actors:
            raise ClusterError(self._error)


class TileService:
    """Measures tiles as a `RayTiles` in another process requests."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.pool = ActorPool(channel.receive())
        self.objectives = self.evaluations = 0
        self.targets: list[Any] = []
        self.pixels: list[Any] = []
        channel.send(True)

    def handle(self, request: NewTargets | MeasureTiles) -> None:
        """Receive the targets of another objective, or measure all tiles of an image and send the results."""
        if isinstance(request, NewTargets):
            self.objectives += 1
            self.targets = []  # frees the old ones before as much is stored again
            self.targets = [ray.put(self.channel.receive()) for _ in range(request.count)]
            return
        gradients = () if request.gradients is None else (ray.put(request.gradients),)
        if not gradients:
            self.evaluations += 1
            self.pixels = []

        def call(actor: Any, tile: int, keep: bool) -> Any:
            while tile >= len(self.pixels):
                self.pixels.append(ray.put(self.channel.receive()))
            task = TileTask(self.objectives, self.evaluations, tile, request.precise, keep, [self.targets[tile]])
            return getattr(actor, request.method).remote(task, self.pixels[tile], *gradients)

        for result in self.pool.run(len(self.targets), call):
            self.channel.send(result)


def measure_tiles(channel: Channel, _: Cluster) -> None:
    """Measure tiles until the channel is closed: the driver's service."""
    service = TileService(channel)
    while True:
        service.handle(channel.receive())


if __name__ == "__main__":
    serve(measure_tiles)
