"""Ray actors of jobs: workers that paint one job at a time, and the cache that they share."""

from __future__ import annotations

import asyncio
import pickle
import socket
from collections import OrderedDict
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from impasto import __version__
from impasto.config import Plan
from impasto.core.encoder import Encoder, Weights
from impasto.files import ScratchFolder, remove_abandoned_folders
from impasto.jobs.clip_painter import make_painter
from impasto.jobs.model import FramesDone, Job, JobCommand, JobEnded, JobUpdate, StepsDone
from impasto.run import ModelCache
from impasto.weights import load

__all__ = ["RayCache", "RayWorker", "Sent"]

CACHE_TIMEOUT_S = 60.0
"""Time to wait for a value that another worker computes. That worker may have died."""

MAX_CACHED_VALUES = 512
"""Cache limit. One value takes up to 3 MB."""


@dataclass(frozen=True)
class Sent:
    """An update, and the contents of the files that it names."""

    update: JobUpdate
    files: Mapping[str, bytes]


class RayWorker:
    """A Ray actor that paints jobs.

    `weights` maps networks to references, `cache` is the actor `RayCache`.
    """

    def __init__(self, weights: Mapping[str, Any], cache: Any) -> None:
        def load_weights(name: str, file: Path | None) -> Weights:
            return ray.get(weights[name]) if file is None and name in weights else load(name, file)

        def share(encoder: Encoder, plan: Plan) -> RayCacheClient:
            identity = encoder.weights_sha256, encoder.pooling, encoder.padding, plan.model_dump_json()
            return RayCacheClient(cache, identity)

        self.models = ModelCache(cache_measurements=True, load=load_weights, shared=share)
        remove_abandoned_folders()
        self.folder, self.weights_folder = ScratchFolder(), ScratchFolder()
        self.updates: Generator[JobUpdate, JobCommand, None] | None = None

    def ready(self) -> tuple[str, str]:
        """Return the version of Impasto here, and the name of this machine."""
        return __version__, socket.gethostname()

    def begin(
        self,
        job: Job,
        checkpoint_interval_s: float,
        roles: list[str],
        checkpoint: bytes | None,
        frames: Mapping[str, bytes],
        *files: bytes,
    ) -> Sent:
        """Begin a job with its files, in the order of `roles`, and return the first update.

        `frames` are the files of a clip's frames that are done, by name.
        """
        self.folder.cleanup()
        self.folder = ScratchFolder()
        folder = self.folder.path
        paths = {role: folder / f"{number}.input" for number, role in enumerate(roles)}
        if "weights" in paths:  # the model cache identifies weights by their path
            paths["weights"] = self.weights_folder.path / str(job.inputs["weights"]["sha256"])
        for role, data in zip(roles, files, strict=True):
            paths[role].write_bytes(data)
        resume_from = None
        if checkpoint is not None:
            resume_from = folder / "resume.impasto"
            resume_from.write_bytes(checkpoint)
        frame_folder = folder / "frames"
        frame_folder.mkdir()
        for name, data in frames.items():
            (frame_folder / name).write_bytes(data)
        painter = make_painter(
            job,
            paths,
            resume_from,
            cache=self.models,
            folder=folder,
            frames=frame_folder,
            checkpoint_interval_s=checkpoint_interval_s,
        )
        self.updates = painter.updates()
        return _with_files(next(self.updates))

    def go(self, command: JobCommand) -> Sent:
        """Obey a command and return the next update."""
        if self.updates is None:
            raise RuntimeError("This worker has no job: call begin first.")
        return _with_files(self.updates.send(command))


def _with_files(update: JobUpdate) -> Sent:
    """Read the files that an update names into memory, and remove them."""
    files = {}
    match update:
        case StepsDone(checkpoint=Path() as path) | JobEnded(picture=Path() as path):
            files[path.name] = path.read_bytes()
            path.unlink()
        case FramesDone():
            files = {path.name: path.read_bytes() for path in update.files}  # later frames need them
    return Sent(update, files)


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
