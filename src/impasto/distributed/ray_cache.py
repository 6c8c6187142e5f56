"""A cache that the workers of a cluster share: an actor of Ray, and its client.

The actor's process imports this module, so it needs neither torch nor the rest of a worker: two seconds and 200 MB.
"""

from __future__ import annotations

import asyncio
import pickle
from collections import OrderedDict
from typing import Any

import ray
from ray.exceptions import RayError

__all__ = ["RayCache", "RayCacheClient"]

CACHE_TIMEOUT_S = 60.0
"""Time to wait for a value that another worker computes. That worker may have died."""

MAX_CACHED_VALUES = 512
"""Cache limit. One value takes up to 3 MB."""


class RayCache:
    """A Ray actor that caches style measurements for all workers, pickled: each is computed once."""

    def __init__(self) -> None:
        self._values: OrderedDict[Any, bytes] = OrderedDict()
        self._pending: dict[Any, asyncio.Event] = {}
        self._takes = self._puts = 0

    async def take(self, key: Any) -> bytes | None:
        """Return a value, waiting while another worker computes it. None: compute it and call `put`."""
        self._takes += 1
        if key not in self._values:
            event = self._pending.get(key)
            if event is None:
                self._pending[key] = asyncio.Event()
                return None
            try:
                await asyncio.wait_for(event.wait(), CACHE_TIMEOUT_S)
            except TimeoutError:
                return None
        return self._values.get(key)

    async def put(self, key: Any, value: bytes) -> None:
        """Store a value and hand it to the workers that wait for it."""
        self._puts += 1
        self._values[key] = value
        if (event := self._pending.pop(key, None)) is not None:
            event.set()
        while len(self._values) > MAX_CACHED_VALUES:
            self._values.popitem(last=False)

    async def counts(self) -> tuple[int, int]:
        """Return the number of calls of `take` and of `put`."""
        return self._takes, self._puts


class RayCacheClient:
    """The cluster's cache for one network and plan.

    If the cache is lost, values are computed here.
    """

    def __init__(self, cache: Any, identity: tuple[str, ...]) -> None:
        self.cache, self.identity = cache, identity

    def take(self, key: Any) -> Any:
        """Return a value, or None: then the caller computes it and calls `put`."""
        try:
            data = ray.get(self.cache.take.remote((*self.identity, key)))
        except RayError:
            return None
        return pickle.loads(data) if data is not None else None

    def put(self, key: Any, value: Any) -> None:
        """Store a value for other workers."""
        self.cache.put.remote((*self.identity, key), pickle.dumps(value))
