"""A painter on some machine of the cluster: an actor that has a network loaded, and paints a job at a time."""

from __future__ import annotations

import pickle
import socket
import tempfile
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from impasto import __version__
from impasto.config import Plan
from impasto.core.encoder import Encoder, Weights
from impasto.jobs.model import Job, JobCommand, JobEnded, JobUpdate, StepsDone
from impasto.jobs.painter import JobPainter
from impasto.run.model_cache import ModelCache
from impasto.weights import load

__all__ = ["RayWorker", "Sent"]


@dataclass(frozen=True)
class Sent:
    """A report, and the files that it speaks of, by their names."""

    report: JobUpdate
    files: Mapping[str, bytes]


class RayWorker:
    """Paints one job at a time. `weights` are of networks by name; `shelf` has what others measured."""

    def __init__(self, weights: Mapping[str, Any], shelf: Any) -> None:
        def loaded(name: str, file: Path | None) -> Weights:
            return ray.get(weights[name]) if file is None and name in weights else load(name, file)

        def shared(encoder: Encoder, plan: Plan) -> RayCacheClient:
            identity = encoder.weights_sha256, encoder.pooling, encoder.padding, plan.model_dump_json()
            return RayCacheClient(shelf, identity)

        self.atelier = ModelCache(cache_measurements=True, load=loaded, shared=shared)
        self.folder, self.kept = (tempfile.TemporaryDirectory(prefix="impasto-") for _ in range(2))
        self.updates: Generator[JobUpdate, JobCommand, None] | None = None

    def ready(self) -> tuple[str, str]:
        """It is there; its version, and the machine."""
        return __version__, socket.gethostname()

    def begin(self, job: Job, keep_s: float, roles: list[str], checkpoint: bytes | None, *files: bytes) -> Sent:
        """Take on a job, from its pictures by role, or from its checkpoint."""
        self.folder.cleanup()
        self.folder = tempfile.TemporaryDirectory(prefix="impasto-")
        folder = Path(self.folder.name)
        places = {role: folder / f"{number}.input" for number, role in enumerate(roles)}
        if "weights" in places:  # by where they are a network is known, and loaded once
            places["weights"] = Path(self.kept.name) / str(job.inputs["weights"]["sha256"])
        for role, data in zip(roles, files, strict=True):
            places[role].write_bytes(data)
        since = None
        if checkpoint is not None:
            since = folder / "since.impasto"
            since.write_bytes(checkpoint)
        painter = JobPainter(job, places, since, cache=self.atelier, folder=folder, checkpoint_interval_s=keep_s)
        self.updates = painter.updates()
        return self._sent(next(self.updates))

    def go(self, asked: JobCommand) -> Sent:
        """Do what is asked, and go on for a while."""
        if self.updates is None:
            raise RuntimeError("There is no job to go on with.")
        return self._sent(self.updates.send(asked))

    def _sent(self, report: JobUpdate) -> Sent:
        files = {}
        match report:
            case StepsDone(checkpoint=Path() as path) | JobEnded(picture=Path() as path):
                files[path.name] = path.read_bytes()
                path.unlink()
        return Sent(report, files)


class RayCacheClient:
    """The shelf as one network's measurements see it. A shelf that is gone costs time, and nothing else."""

    def __init__(self, shelf: Any, identity: tuple[str, ...]) -> None:
        self.shelf, self.identity = shelf, identity

    def take(self, key: Any) -> Any:
        """What somebody measured, or None: it is ours to measure."""
        try:
            data = ray.get(self.shelf.take.remote((*self.identity, key)))
        except RayError:
            return None
        return pickle.loads(data) if data is not None else None

    def put(self, key: Any, value: Any) -> None:
        """Here it is, for others."""
        self.shelf.put.remote((*self.identity, key), pickle.dumps(value))
