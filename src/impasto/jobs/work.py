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
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from impasto.compose import Atelier, Session
from impasto.compose.checkpoints import read_checkpoint
from impasto.compose.pace import share_done, step_of
from impasto.compose.steering import Helm
from impasto.config import Config, Inputs, Plan, RunOptions
from impasto.engine.budget import Work
from impasto.engine.planning import make_plan
from impasto.errors import ImpastoError, OutputError, RecipeError
from impasto.images import NamedImage, load, name_of, replacing, save
from impasto.jobs.errors import JobError, LostJobError
from impasto.jobs.model import Claim, Job
from impasto.jobs.previews import Showing
from impasto.jobs.store import JobStore
from impasto.method import Progress
from impasto.recipes import Turn, by_role, inputs_of

__all__ = ["KEEP_S", "Worker", "alphas_of", "ask_alpha", "key_of", "stored", "submit", "worker_name"]

RECORD_S = 0.5
"""How often steps are written down: a write of the database costs milliseconds."""

KEEP_S = 30.0
"""How often a checkpoint is kept: what a worker's death costs at most."""


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
    sources = by_role(inputs) | ({"weights": inputs.weights} if inputs.weights is not None else {})
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
        name = f"{source.name.rpartition(':')[2]}.png"
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
        self.atelier = Atelier(remember=True)
        self.stopping = False

    def warm(self) -> None:
        """Load what the first picture will need: the usual network, and how fast this machine is."""
        config = Config()
        with contextlib.suppress(ImpastoError):  # whoever needs it is told
            if self.fetch is not None:
                self.fetch(config.network)
            self.atelier.encoder(config, None, make_plan(RunOptions(), Work(512, 512, ((512, 512),), config)).device)

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
            self._failed(claim, str(error) or type(error).__name__)
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

    def _failed(self, claim: Claim, why: str) -> None:
        with contextlib.suppress(LostJobError):
            self.store.fail(claim, " ".join(why.split()))

    def _paint(self, claim: Claim) -> None:
        job, store = claim.job, self.store
        if self.fetch is not None and "weights" not in job.inputs:
            self.fetch(job.config["network"])
        session = self._session(job)
        if job.plan is None:
            store.planned(claim, session.plan.model_dump(mode="json"))
        # The first checkpoint comes at once: from then on a death costs steps, and no job ends by several of them.
        recorded, kept = 0.0, time.monotonic() if job.checkpoint is not None else 0.0
        waiting: list[tuple[int, int, int, float, float, float]] = []
        showing = Showing(store.previews, job.id, session.engine.store)
        for progress in self._steps(session, job):
            waiting.append(_row(progress))
            showing.saw(progress)
            if self.watch is not None:
                self.watch(job, progress)
            now = time.monotonic()
            if now - recorded < RECORD_S and not progress.is_last:
                continue
            scales = [(scale.height, scale.width, scale.iterations) for scale in progress.scene.scales]
            asked = store.record(claim, share_done(progress), waiting, scales=scales, elapsed_s=progress.elapsed_s)
            waiting, recorded = [], now
            if progress.is_last:
                break
            if asked.cancel or asked.hold or self.stopping:
                self._keep(claim, session, progress)
                store.give_back(claim)
                return
            if asked.alpha is not None:
                session.helm.turn(progress, asked.alpha)
                store.turned(claim, [turn.model_dump() for turn in session.helm.turns])
            if now - kept >= self.keep_s:
                self._keep(claim, session, progress)
                kept = now
        self._finish(claim, session, progress)

    def _session(self, job: Job) -> Session:
        def stored(role: str) -> Any:
            file = job.inputs[role]
            path = self.store.files.path(str(file["sha256"]))
            if not path.is_file():
                raise JobError(f"The {role} image of job {job.id} is gone from the queue's files.")
            return NamedImage(file["name"], path) if file["name"] else path

        pictures = {role: stored(role) for role in job.inputs if role != "weights"}
        weights = self.store.files.path(str(job.inputs["weights"]["sha256"])) if "weights" in job.inputs else None
        plan = Plan(**job.plan) if job.plan is not None else None
        return Session(
            inputs_of(pictures, weights),
            Config(**job.config),
            RunOptions(**job.run),
            recorded_plan=plan,
            atelier=self.atelier,
            helm=Helm(Turn(**turn) for turn in job.turns),
        )

    def _steps(self, session: Session, job: Job) -> Iterator[Progress]:
        """What is left of a run; a checkpoint that is damaged costs its steps, and not the job."""
        if job.checkpoint is not None:
            with contextlib.suppress(RecipeError):
                return session.steps(read_checkpoint(self._checkpoints() / job.checkpoint))
        return session.steps()

    def _checkpoints(self) -> Path:
        folder = self.store.folder / "checkpoints"
        folder.mkdir(exist_ok=True)
        return folder

    def _keep(self, claim: Claim, session: Session, progress: Progress) -> None:
        """A new file each time, named by attempt and step: what the store knows of is always whole."""
        name = f"{claim.job.id}-{claim.attempt}-{step_of(progress)[0]}.impasto"
        with contextlib.suppress(OutputError, OSError):  # a disk that is full costs a checkpoint, and not the job
            session.keep(progress, self._checkpoints() / name)
            self.store.keep(claim, name)
            self._tidy(claim.job, name)

    def _tidy(self, job: Job, but: str = "") -> None:
        for path in self._checkpoints().glob(f"{job.id}-*.impasto"):
            if path.name != but:
                path.unlink(missing_ok=True)

    def _finish(self, claim: Claim, session: Session, progress: Progress) -> None:
        job = claim.job
        result = session.finish(progress)
        suffix = Path(job.output).suffix if job.output else ".png"
        with tempfile.TemporaryDirectory(prefix="impasto-", dir=self.store.folder) as folder:
            picture = result.save(Path(folder) / f"picture{suffix}")
            name = self.store.files.add(picture)
            if job.output is not None:
                with replacing(Path(job.output)) as place:
                    shutil.copyfile(picture, place)
        told = {
            "sha256": name,
            "suffix": suffix,
            "losses": result.losses,
            "evaluations": result.evaluations,
            "seconds": round(result.seconds, 3),
            "height": result.image.shape[2],
            "width": result.image.shape[3],
        }
        self.store.finish(claim, told)
        self._tidy(job)


def _row(progress: Progress) -> tuple[int, int, int, float, float, float]:
    losses = progress.losses
    numbers = float(losses.total), float(losses.content), float(losses.style)
    return step_of(progress)[0], progress.scale, progress.iteration, *numbers
