"""Actors that measure tiles: asked in turn, replaced when they die, done without when all are gone."""

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
from impasto.distributed.connection import ClusterError, require_version, with_threads
from impasto.distributed.health import ClusterHealth
from impasto.distributed.tile_actor import TileActor, sending_tensors
from impasto.errors import one_line

__all__ = ["ActorPool"]

AHEAD = 2
"""Tiles that an actor has before it is done with them, so that it never waits, and no more than that is in memory."""

LOOK_S = 0.5
"""Between looks at whether the cluster is there, while an answer is waited for."""

JOIN_S = 60.0
"""How long the first actor, or the last one's successor, may take to be there: it starts in four seconds here."""


class TileError(ClusterError):
    """A tile that cannot be measured by anybody."""


class ActorPool:
    """Up to `count` actors of so many threads each. One that is lost is replaced where there is room.

    When all of the cluster is lost, the team is `gone`, and Ray is asked for nothing any more.
    """

    def __init__(
        self,
        count: int,
        threads: int,
        *,
        gpus: int = 0,
        pulse: ClusterHealth | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.count, self.pulse, self.tell = count, pulse or ClusterHealth(), tell
        self.members: list[Any] = []
        self.lost = 0
        self.gone = False
        self._class: Any = ray.remote(TileActor).options(
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
        if not self.gone:
            with self._lasting():
                self.welcome(0)
        places: dict[int, Any] = {}

        def start(tile: int) -> Any:
            if places.get(tile) not in self.members:
                places[tile] = self.members[tile % len(self.members)] if self.members else None
            if places[tile] is None:
                return None
            with self._lasting():
                self.pulse.require()
                return ask(places[tile], tile, count <= len(self.members))
            return None

        running = collections.deque(start(tile) for tile in range(min(count, AHEAD * len(self.members))))
        for tile in range(count):
            reference = running.popleft() if running else start(tile)
            found = None
            while reference is not None and not self.gone:
                with self._lasting():
                    try:
                        found = self._answer(reference)
                        break
                    except RayTaskError as error:
                        why = one_line(error.cause)[:300]
                        raise TileError(f"A tile could not be measured: {why}") from error
                    except RayError:
                        self._lose(places[tile])
                reference = start(tile)
            if running:
                ahead = tile + len(running) + 1
                if ahead < count:
                    running.append(start(ahead))
            yield found
            del found

    def put(self, value: Any) -> Any:
        """A value for all who are asked; None where nobody is."""
        if not self.gone:
            with self._lasting():
                self.pulse.require()
                return ray.put(value)
        return None

    @contextmanager
    def _lasting(self) -> Iterator[None]:
        """What is done with a cluster that may go; then this process goes on by itself, and does no more of this."""
        try:
            yield
        except TileError:
            raise
        except (ClusterError, RayError, OSError) as error:
            self._lose_all(error)

    def _lose_all(self, error: Exception) -> None:
        if self.gone:
            return
        self.gone, self.members, self._joining = True, [], {}
        self.pulse.close()
        # Ray would end this process too, soon.
        with suppress(Exception):
            ray.shutdown()
        self.tell(f"the cluster is gone ({one_line(error).partition('. ')[0][:200]}): this machine goes on by itself")

    def _answer(self, reference: Any) -> Any:
        """What an actor says. It may take its time, but not longer than the cluster is there."""
        while True:
            self.pulse.require()
            ready, _ = ray.wait([reference], timeout=LOOK_S)
            if ready:
                return ray.get(reference)

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
            self.pulse.require()
            ready, _ = ray.wait(list(self._joining), timeout=min(left, LOOK_S))
            if not ready and left <= LOOK_S:
                return
            for reference in ready:
                actor = self._joining.pop(reference)
                try:
                    require_version(*ray.get(reference))
                    self.members.append(actor)
                except (ClusterError, RayError) as error:  # another Impasto, none at all, or it went with its machine
                    self._unfit = one_line(error)[:300]
                    ray.kill(actor)
