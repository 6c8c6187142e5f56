"""The studio behind the web application: its queue, pictures and events, and how a job is submitted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from impasto.config import Config, RunOptions
from impasto.config.presets import PRESETS, load_preset
from impasto.jobs import JobError, JobStore
from impasto.jobs.submit import submit
from impasto.run import prepare_run
from impasto.studio.auth import AccessPolicy
from impasto.studio.events import EventHub
from impasto.studio.options import RUN
from impasto.studio.pictures import Pictures
from impasto.studio.schemas import JobView, PaintRequest, PictureRef

__all__ = ["Studio"]

MAX_QUEUED = 1000
"""Maximum number of waiting jobs. For thousands of pictures there is `impasto batch`."""


@dataclass
class Studio:
    """A queue with its pictures and events, and the policy of who may use it."""

    store: JobStore
    policy: AccessPolicy = field(default_factory=AccessPolicy)
    max_queued: int = MAX_QUEUED

    def __post_init__(self) -> None:
        self.pictures = Pictures(self.store)
        self.events = EventHub(self.store)

    def submit(self, request: PaintRequest) -> JobView:
        """Add a picture to the queue. Raises `ImpastoError`."""
        if self.store.count_queued() >= self.max_queued:
            raise JobError(f"The queue is full: {self.max_queued} pictures are waiting. Try again later.")
        if request.preset not in PRESETS:  # never a path
            raise JobError(f"There is no preset {request.preset!r}. Use one of {', '.join(PRESETS)}.")
        options = {name: value for name, value in request.config.items() if value != ""}  # empty fields of the form
        config = Config(**(load_preset(request.preset).model_dump() | options))
        run_options = RunOptions(**_require_allowed(request.run))

        def load(refs: list[PictureRef]) -> list[Any]:
            return [self.pictures.source(ref, config.size) for ref in refs]

        optional = {"init": request.init, "protect": request.protect}
        run = prepare_run(
            self.pictures.source(request.content, config.size),
            load(request.styles),
            config,
            content_masks=load(request.content_masks),
            style_masks=load(request.style_masks),
            **{name: self.pictures.source(ref, config.size) for name, ref in optional.items() if ref is not None},
            **run_options.model_dump(exclude_defaults=True),
        )
        run.workload  # noqa: B018 - raises an error if pictures and options do not fit together
        return JobView.of(submit(self.store, run.inputs, run.config, run.options, priority=request.priority))


def _require_allowed(options: dict[str, Any]) -> dict[str, Any]:
    """Raise `JobError` for options that only the person who runs the studio may set."""
    if refused := ", ".join(sorted(options.keys() - set(RUN))):
        raise JobError(f"{refused} cannot be set from the page. Allowed options are {', '.join(RUN)}.")
    return options
