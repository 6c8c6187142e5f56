"""The tile service with actors that fail on request. Reads the fault from a file, and writes the pool's state."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray

from impasto.distributed import ClusterError, tile_service
from impasto.distributed.driver import serve

FOLDER = Path(os.environ["FAULTS"])


class FaultyPool(tile_service.ActorPool):
    """A pool that kills its actors when the file says so."""

    def run(self, count: int, call: Any) -> Iterator[bytes]:
        """Kill actors as requested, then run."""
        fault = (FOLDER / "fault").read_text() if (FOLDER / "fault").exists() else ""
        (FOLDER / "fault").unlink(missing_ok=True)
        if fault == "kill first":
            ray.kill(self.actors[0])
        elif fault == "kill last":
            ray.kill(self.actors[-1])
        elif fault == "kill all":
            tile_service.START_TIMEOUT_S = 0.0
            for actor in (*self.actors, *self._starting.values()):
                ray.kill(actor)
            self._starting.clear()
            self._start_actor = lambda: None  # type: ignore[method-assign]
        try:
            for result in super().run(count, call):
                self._write_state()
                yield result
        except ClusterError:
            self._write_state()
            raise

    def _write_state(self) -> None:
        """Write the state before the result that it belongs to is sent."""
        (FOLDER / "state").write_text(json.dumps({"actors": len(self.actors), "failures": self.failures}))


def refuse(version: str, node: str) -> None:
    """Refuse an actor, as if it had another version."""
    raise ClusterError("another Impasto")


if __name__ == "__main__":
    vars(tile_service)["ActorPool"] = FaultyPool
    if os.environ.get("REFUSE"):
        vars(tile_service)["require_version"] = refuse
    serve(tile_service.measure_tiles)
