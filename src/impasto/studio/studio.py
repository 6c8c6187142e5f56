"""What the studio's application works with: a queue, its pictures, whoever watches; and how a picture is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from impasto.config import Config, RunOptions
from impasto.config.presets import PRESETS, load_preset
from impasto.jobs import JobError, JobStore
from impasto.jobs.worker import submit
from impasto.run import prepare_run
from impasto.studio.auth import AccessPolicy
from impasto.studio.events import EventHub
from impasto.studio.options import RUN
from impasto.studio.pictures import Pictures
from impasto.studio.schemas import JobView, PaintRequest

__all__ = ["Studio"]

LONGEST_QUEUE = 1000
"""Jobs that wait at most. Ten thousand pictures are for `impasto batch`."""


@dataclass
class Studio:
    """What the application works with."""

    store: JobStore
    doors: AccessPolicy = field(default_factory=AccessPolicy)
    longest_queue: int = LONGEST_QUEUE

    def __post_init__(self) -> None:
        self.pictures = Pictures(self.store)
        self.watch = EventHub(self.store)

    def paint(self, asked: PaintRequest) -> JobView:
        """Put a picture into the queue. Raises `ImpastoError`."""
        if self.store.waiting() >= self.longest_queue:
            raise JobError(f"{self.longest_queue} pictures wait already. Let some of them be painted first.")
        if asked.preset not in PRESETS:  # never a path
            raise JobError(f"There is no preset {asked.preset!r}. There are {', '.join(PRESETS)}.")
        given = {name: value for name, value in asked.config.items() if value != ""}  # a field that was left empty
        config = Config(**(load_preset(asked.preset).model_dump(exclude_unset=True) | given))
        run = RunOptions(**_only(asked.run, RUN))

        def pictures(refs: list[Any]) -> list[Any]:
            return [self.pictures.source(ref, config.size) for ref in refs]

        start = {"init": self.pictures.source(asked.init, config.size)} if asked.init is not None else {}
        ready = prepare_run(
            self.pictures.source(asked.content, config.size),
            pictures(asked.styles),
            config,
            content_masks=pictures(asked.content_masks),
            style_masks=pictures(asked.style_masks),
            protect=self.pictures.source(asked.protect, config.size) if asked.protect is not None else None,
            **start,
            **run.model_dump(exclude_unset=True),
        )
        ready.workload  # noqa: B018 - finds out whether they go together
        return JobView.of(submit(self.store, ready.inputs, ready.config, ready.options, priority=asked.priority))


def _only(given: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    if strange := ", ".join(sorted(given.keys() - set(names))):
        raise JobError(f"{strange}: not for a page to decide. It may give {', '.join(names)}.")
    return given
