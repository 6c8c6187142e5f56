"""A cache of style measurements for all workers of a cluster: each is computed once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

__all__ = ["RayCache"]

TIMEOUT_S = 60.0
"""Time to wait for a value that another worker computes. That worker may have died."""

MAX_VALUES = 512
"""Cache limit. One value takes up to 3 MB."""


class RayCache:
    """A Ray actor that stores pickled values and counts its calls."""

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
                await asyncio.wait_for(event.wait(), TIMEOUT_S)
            except TimeoutError:
                return None
        return self._values.get(key)

    async def put(self, key: Any, value: bytes) -> None:
        """Store a value and hand it to the workers that wait for it."""
        self._puts += 1
        self._values[key] = value
        if (event := self._pending.pop(key, None)) is not None:
            event.set()
        while len(self._values) > MAX_VALUES:
            self._values.popitem(last=False)

    async def counts(self) -> tuple[int, int]:
        """Return the number of calls of `take` and of `put`."""
        return self._takes, self._puts
