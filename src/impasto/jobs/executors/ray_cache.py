"""Measurements of styles that painters share: each is taken once, by whoever needs it first."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

__all__ = ["RayCache"]

PATIENCE_S = 60.0
"""How long others wait for a measurement: who took it on may be dead."""

KEPT = 512
"""Measurements, of up to 3 MB each."""


class RayCache:
    """An actor. Values, as bytes that it need not understand, are kept here and not with who measured them."""

    def __init__(self) -> None:
        self.kept: OrderedDict[Any, bytes] = OrderedDict()
        self.coming: dict[Any, asyncio.Event] = {}
        self.asked = self.measured = 0

    async def take(self, key: Any) -> bytes | None:
        """What was measured, waiting for it if somebody does that now; None: it is yours to measure."""
        self.asked += 1
        if key not in self.kept:
            event = self.coming.get(key)
            if event is None:
                self.coming[key] = asyncio.Event()
                return None
            try:
                await asyncio.wait_for(event.wait(), PATIENCE_S)
            except TimeoutError:
                return None
        return self.kept.get(key)

    async def put(self, key: Any, value: bytes) -> None:
        """Here it is, for all who wait."""
        self.measured += 1
        self.kept[key] = value
        if (event := self.coming.pop(key, None)) is not None:
            event.set()
        while len(self.kept) > KEPT:
            self.kept.popitem(last=False)

    async def counts(self) -> tuple[int, int]:
        """How often it was asked, and how many measurements were taken for that."""
        return self.asked, self.measured
