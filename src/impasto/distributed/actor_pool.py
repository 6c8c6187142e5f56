"""A pool of Ray actors that measure tiles. Failed actors are replaced."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from impasto.config import Plan
from impasto.core.encoder import Encoder
from impasto.distributed.connection import ClusterError, actor_environment, require_version
from impasto.distributed.health import ClusterHealth, watch_cluster
from impasto.distributed.tile_actor import TileActor, sending_tensors
from impasto.errors import one_line

__all__ = ["ActorPool"]

QUEUED_TILES = 2
"""Tiles to send to an actor in advance: it never waits, and memory holds no more."""

POLL_S = 0.5
"""Interval between health checks while an actor measures."""

START_TIMEOUT_S = 60.0
"""Time for the first actor to start, or the replacement of the last one: 4 s here."""


class TileError(ClusterError):
    """A tile that an actor failed to measure."""


class ActorPool:
    """Up to `count` actors of `threads` threads each.

    If the whole cluster is lost, the pool is `lost`: it makes no more calls to Ray and reports it by `warn`.
    """

    def __init__(
        self,
        count: int,
        threads: int,
        *,
        gpus: int = 0,
        health: ClusterHealth | None = None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.count, self.health, self.warn = count, health or watch_cluster(ray), warn
        self.actors: list[Any] = []
        self.failures = 0
        self.lost = False
        self._class: Any = ray.remote(TileActor).options(
            num_cpus=threads, num_gpus=gpus, scheduling_strategy="SPREAD", runtime_env=actor_environment(threads)
        )
        self._arguments: list[Any] = []
        self._starting: dict[Any, Any] = {}
        self._start_error = ""

    def start(self, encoder: Encoder, plan: Plan) -> None:
        """Start the actors with a network. Raises `ClusterError` if none starts."""
        sending_tensors(plan.device)
        self._arguments = [ray.put(encoder), plan]
        for _ in range(self.count):
            self._start_actor()
        self.accept_started(START_TIMEOUT_S)
        if not self.actors and self._start_error:
            raise ClusterError(f"No actor could start: {self._start_error}")
        if not self.actors:
            raise ClusterError(
                f"The cluster had no room for an actor of {plan.threads} processors within {START_TIMEOUT_S:.0f} s. "
                "Show its load with: ray status"
            )

    def close(self) -> None:
        """Stop all actors."""
        for actor in (*self.actors, *self._starting.values()):
            ray.kill(actor)
        self.actors, self._starting = [], {}

    def run(self, count: int, call: Callable[[Any, int, bool], Any]) -> Iterator[Any]:
        """Yield `call(actor, tile, keep)` for every tile in order, or None if no actor is left.

        Replace failed actors and retry their tiles. A tile goes to the same actor at every step, while it lives.
        """
        if not self.lost:
            with self._catch_loss():
                self.accept_started(0)
        assigned: dict[int, Any] = {}

        def start(tile: int) -> Any:
            if assigned.get(tile) not in self.actors:
                assigned[tile] = self.actors[tile % len(self.actors)] if self.actors else None
            if assigned[tile] is None:
                return None
            with self._catch_loss():
                self.health.check()
                return call(assigned[tile], tile, count <= len(self.actors))
            return None

        pending = collections.deque(start(tile) for tile in range(min(count, QUEUED_TILES * len(self.actors))))
        for tile in range(count):
            reference = pending.popleft() if pending else start(tile)
            result = None
            while reference is not None and not self.lost:
                with self._catch_loss():
                    try:
                        result = self._wait(reference)
                        break
                    except RayError:
                        self._replace(assigned[tile])
                reference = start(tile)
            if pending:
                next_tile = tile + len(pending) + 1
                if next_tile < count:
                    pending.append(start(next_tile))
            yield result
            del result

    def put(self, value: Any) -> Any:
        """Store a value in the cluster for all actors.

        Return its reference, or None if the cluster is lost.
        """
        if not self.lost:
            with self._catch_loss():
                self.health.check()
                return ray.put(value)
        return None

    @contextmanager
    def _catch_loss(self) -> Iterator[None]:
        """Continue without the cluster if it is lost in this block."""
        try:
            yield
        except TileError:
            raise
        except (ClusterError, RayError, OSError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        if self.lost:
            return
        self.lost, self.actors, self._starting = True, [], {}
        self.health.close()
        with suppress(Exception):  # while connected, Ray would soon kill this process
            ray.shutdown()
        reason = one_line(error).partition(". ")[0][:200].rstrip(".")
        self.warn(f"the cluster is lost ({reason}): continuing on this machine")

    def _wait(self, reference: Any) -> Any:
        """Return an actor's result, checking the cluster's health in the meantime.

        Raises `TileError`.
        """
        while True:
            self.health.check()
            ready, _ = ray.wait([reference], timeout=POLL_S)
            if not ready:
                continue
            try:
                return ray.get(reference)
            except RayTaskError as error:
                raise TileError(f"An actor failed to measure a tile: {one_line(error.cause)[:300]}") from error

    def _replace(self, actor: Any) -> None:
        """Replace a failed actor. If it was the last one, wait for the new one."""
        if actor in self.actors:
            self.actors.remove(actor)
            self.failures += 1
            self._start_actor()
            self.accept_started(0 if self.actors else START_TIMEOUT_S)

    def _start_actor(self) -> None:
        actor = self._class.remote(*self._arguments)
        self._starting[actor.ready.remote()] = actor

    def accept_started(self, timeout_s: float) -> None:
        """Add the actors that have started; wait for the first one until a timeout."""
        deadline_s = time.monotonic() + timeout_s
        while self._starting:
            left_s = 0.0 if self.actors else max(0.0, deadline_s - time.monotonic())
            self.health.check()
            ready, _ = ray.wait(list(self._starting), timeout=min(left_s, POLL_S))
            if not ready and left_s <= POLL_S:
                return
            for reference in ready:
                actor = self._starting.pop(reference)
                try:
                    require_version(*ray.get(reference))
                    self.actors.append(actor)
                except (ClusterError, RayError) as error:  # another version, or its machine died
                    self._start_error = one_line(error)[:300]
                    ray.kill(actor)
