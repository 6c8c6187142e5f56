"""Ray actors of jobs: workers that paint one job at a time."""

from __future__ import annotations

import socket
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from impasto import __version__
from impasto.config import Plan
from impasto.core.encoder import Encoder, Weights
from impasto.distributed.ray_cache import RayCacheClient
from impasto.files import ScratchFolder, remove_abandoned_folders
from impasto.jobs.clip_painter import make_painter
from impasto.jobs.model import FramesDone, Job, JobCommand, JobEnded, JobUpdate, StepsDone
from impasto.run import ModelCache
from impasto.weights import load

__all__ = ["RayWorker", "Sent"]


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
