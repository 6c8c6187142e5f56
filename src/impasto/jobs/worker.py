"""From a run to a job, and from a job to its picture: what is put into the queue, and what a worker does.

A job is painted as `stylize` paints it, and its result is the same file to the byte, however often its worker died:
the plan of the first attempt is kept with the job, and a checkpoint is gone on from exactly.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from impasto.config import Config, Inputs, RunOptions
from impasto.config.roles import pictures_by_role
from impasto.core.method import Progress
from impasto.core.tensor_store import TensorStore
from impasto.engine.memory import Workload
from impasto.engine.planning import make_plan
from impasto.errors import ImpastoError, one_line
from impasto.files import atomic_write
from impasto.images import NamedImage, load, name_of, save
from impasto.jobs.errors import JobError, LostJobError
from impasto.jobs.model import NOTHING, Claim, Job, JobCommand, WorkerUpdate
from impasto.jobs.painter import KEEP_S, JobPainter
from impasto.jobs.previews import PreviewWriter
from impasto.jobs.store import JobStore
from impasto.run.model_cache import ModelCache
from impasto.samples.sources import SAMPLE

__all__ = [
    "Worker",
    "alphas_of",
    "ask_alpha",
    "checkpoints",
    "enter",
    "give_up",
    "key_of",
    "stored",
    "submit",
    "worker_name",
]


def submit(
    store: JobStore,
    inputs: Inputs,
    config: Config,
    run: RunOptions | None = None,
    *,
    output: str | None = None,
    priority: int = 0,
) -> Job:
    """Put a run into the queue; its pictures, files or named pixels, are copied. Raises `JobError`, `OutputError`."""
    run = run or RunOptions()
    sources = pictures_by_role(inputs) | ({"weights": inputs.weights} if inputs.weights is not None else {})
    kept = {role: stored(store, source) for role, source in sources.items()}
    told = config.model_dump(mode="json")
    return store.add(
        told, kept, key=key_of(told, kept), run=run.model_dump(mode="json"), output=output, priority=priority
    )


def key_of(config: Mapping[str, Any], inputs: Mapping[str, Mapping[str, str | None]]) -> str:
    """What a picture is known by: a hash of its options, its pictures and its weights."""
    identity = {"config": config, "inputs": {role: file["sha256"] for role, file in inputs.items()}}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def worker_name(pid: int) -> str:
    """What the worker of a process on this machine is called."""
    return f"{socket.gethostname()}:{pid}"


def ask_alpha(store: JobStore, number: int, alpha: float) -> Job:
    """Let a job go on with another α from its next step on. Raises `ConfigError`, `JobError`."""
    Config(**(store.get(number).config | {"alpha": alpha}))  # finds out whether it can be
    return store.ask_alpha(number, alpha)


def alphas_of(job: Job) -> list[float]:
    """What α was, in turn."""
    return [job.config["alpha"], *(turn["alpha"] for turn in job.turns)]


def stored(store: JobStore, source: Any) -> dict[str, str | None]:
    """A picture among the queue's files: its name, and its hash. Pixels without a file become a PNG."""
    if isinstance(source, NamedImage) and not isinstance(source.pixels, (str, Path)):
        name = source.name if source.name.startswith(SAMPLE) else f"{source.name}.png"
        with tempfile.TemporaryDirectory(prefix="impasto-", dir=store.folder) as folder:
            save(Path(folder) / "drawn.png", load(source.pixels).pixels)
            return {"name": name, "sha256": store.files.add(Path(folder) / "drawn.png")}
    path = source.pixels if isinstance(source, NamedImage) else source
    if not isinstance(path, (str, Path)):
        raise JobError("A job's pictures are files, so that it can be painted at any time. Save it first.")
    return {"name": name_of(source), "sha256": store.files.add(Path(path))}


class Worker:
    """Takes jobs and paints them, one at a time, with networks that stay loaded.

    `watch` is told of every step, and may be slow only at the cost of the job. `fetch` gets the weights of a network
    if they are not here yet.
    """

    def __init__(
        self,
        store: JobStore,
        name: str,
        *,
        watch: Callable[[Job, Progress], None] | None = None,
        fetch: Callable[[str], None] | None = None,
        keep_s: float = KEEP_S,
    ) -> None:
        self.store, self.name, self.watch, self.fetch, self.keep_s = store, name, watch, fetch, keep_s
        self.atelier = ModelCache(cache_measurements=True)
        self.stopping = False

    def warm(self) -> None:
        """Load what the first picture will need: the usual network, and how fast this machine is."""
        config = Config()
        with contextlib.suppress(ImpastoError):  # whoever needs it is told
            if self.fetch is not None:
                self.fetch(config.network)
            self.atelier.encoder(
                config, None, make_plan(RunOptions(), Workload(512, 512, ((512, 512),), config)).device
            )

    def run_one(self) -> Job | None:
        """Claim a job and paint it to its end; the job as it stands then. None if there is nothing to do."""
        claim = self.store.claim(self.name)
        if claim is None:
            return None
        try:
            with self._alive(claim):
                self._paint(claim)
        except LostJobError:
            pass  # another worker has it, and this one has written nothing
        except (ImpastoError, OSError, MemoryError, RuntimeError) as error:
            give_up(self.store, claim, error)
        return self.store.get(claim.job.id)

    @contextlib.contextmanager
    def _alive(self, claim: Claim) -> Iterator[None]:
        """Renew the lease meanwhile: a step of a large picture takes longer than that."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(self.store.lease_s / 3):
                with contextlib.suppress(JobError):  # whoever paints finds out at the next write
                    self.store.renew(claim)

        heart = threading.Thread(target=beat, daemon=True)
        heart.start()
        try:
            yield
        finally:
            over.set()
            heart.join()

    def _paint(self, claim: Claim) -> None:
        job, store = claim.job, self.store
        if self.fetch is not None and "weights" not in job.inputs:
            self.fetch(job.config["network"])
        showing = PreviewWriter(store.previews, job.id)

        def watch(progress: Progress, images: TensorStore) -> None:
            showing.saw(progress, images)
            if self.watch is not None:
                self.watch(job, progress)

        painting = JobPainter(
            job,
            {role: store.files.path(str(file["sha256"])) for role, file in job.inputs.items()},
            checkpoints(store) / job.checkpoint if job.checkpoint is not None else None,
            atelier=self.atelier,
            folder=checkpoints(store),
            keep_s=self.keep_s,
            watch=watch,
        )
        asked: JobCommand | None = NOTHING
        while asked is not None:
            asked = enter(store, claim, painting.go(replace(asked, hold=asked.hold or self.stopping)))


def enter(store: JobStore, claim: Claim, report: WorkerUpdate) -> JobCommand | None:
    """Write a report into the queue; what is asked of whoever paints, or None where that was the end.

    Raises `LostJobError` if the job was taken over; `OutputError` if the picture cannot be put where it is to go.
    """
    if report.error is not None:
        store.fail(claim, report.error)
        return None
    if report.plan is not None:
        if claim.job.plan is None:
            store.planned(claim, report.plan)
        return store.renew(claim)
    if report.turns is not None:
        store.turned(claim, report.turns)
    if report.checkpoint is not None:
        store.keep(claim, report.checkpoint.name)
        _tidy(store, claim.job, report.checkpoint.name)
    if report.left:
        store.give_back(claim)
        return None
    asked = store.record(claim, report.share, report.steps, scales=report.scales, elapsed_s=report.elapsed_s)
    if report.picture is None or report.result is None:
        return asked
    try:
        name = store.files.add(report.picture)
        if claim.job.output is not None:
            with atomic_write(Path(claim.job.output)) as place:
                shutil.copyfile(report.picture, place)
    finally:
        report.picture.unlink(missing_ok=True)
    store.finish(claim, report.result | {"sha256": name})
    _tidy(store, claim.job)
    return None


def give_up(store: JobStore, claim: Claim, error: BaseException) -> None:
    """A job cannot be done; if it was taken over, that is for whoever has it to find."""
    with contextlib.suppress(LostJobError):
        store.fail(claim, one_line(error))


def checkpoints(store: JobStore) -> Path:
    """The folder of a queue's checkpoints, and of pictures on their way into it."""
    folder = store.folder / "checkpoints"
    folder.mkdir(exist_ok=True)
    return folder


def _tidy(store: JobStore, job: Job, but: str = "") -> None:
    for path in checkpoints(store).glob(f"{job.id}-*"):
        if path.name != but:
            path.unlink(missing_ok=True)
