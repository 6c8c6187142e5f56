"""What goes over the wire: requests, and jobs as the page sees them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from impasto.jobs import Job
from impasto.jobs.worker import alphas_of
from impasto.run.recipe import chosen
from impasto.samples.sources import sample_name_of

__all__ = ["Alpha", "FileView", "JobView", "PaintRequest", "PictureRef", "Problem", "RecallView", "Token"]

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="The SHA-256 of an uploaded file.")]


class Schema(BaseModel):
    """A body that has these fields, and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Problem(Schema):
    """Why something was not done, in one line."""

    error: str


class Token(Schema):
    """What opens the studio."""

    token: str = Field(max_length=1000)


class Alpha(Schema):
    """The α to go on with."""

    alpha: float = Field(ge=0)


class PictureRef(Schema):
    """A picture: a file that was uploaded, by its hash, or one that ships."""

    sha256: Sha256 | None = None
    name: str | None = Field(None, max_length=255, description="What it is called; it never reaches the disk.")
    sample: str | None = Field(None, max_length=40, description="The name of a picture that ships, in place of a hash.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.sha256 is None) == (self.sample is None):
            raise ValueError("give sha256 or sample, and not both")
        return self


class PaintRequest(Schema):
    """A picture to paint."""

    content: PictureRef
    styles: list[PictureRef] = Field(min_length=1, max_length=16)
    init: PictureRef | None = None
    content_masks: list[PictureRef] = Field([], max_length=16)
    style_masks: list[PictureRef] = Field([], max_length=16)
    protect: PictureRef | None = None
    preset: str = Field("painterly", max_length=40, description="What the options below are set over.")
    config: dict[str, Any] = Field({}, description="Options that shape the picture, by name: see /api/options.")
    run: dict[str, Any] = Field({}, description="Options of how it is carried out.")
    priority: int = Field(0, ge=-100, le=100)


class InputView(Schema):
    """A picture that a job started from."""

    role: str
    name: str | None
    sha256: str
    sample: str | None = Field(description="What it is called, if it ships.")

    @classmethod
    def of(cls, role: str, name: str | None, sha256: str) -> InputView:
        """What is shown of a picture that is recorded so."""
        return cls(role=role, name=name, sha256=sha256, sample=sample_name_of(name or ""))


class ResultView(Schema):
    """What a job came to."""

    width: int
    height: int
    losses: dict[str, float]
    seconds: float
    evaluations: int


class JobView(Schema):
    """A job, as it stands. `state` is paused for one that waits because it was asked to."""

    id: int
    state: Literal["queued", "running", "pausing", "paused", "cancelling", "done", "failed", "cancelled"]
    progress: float
    step: int = Field(description="Steps taken, all sizes together.")
    scales: list[list[int]] = Field(description="Height, width and steps of each size; empty until it began.")
    elapsed_s: float
    left_s: float | None = Field(description="Seconds left, if that can be told.")
    created_s: float
    changed_s: float
    priority: int
    config: dict[str, Any]
    chosen: dict[str, Any] = Field(description="Of the options those that were chosen: the others come by themselves.")
    alphas: list[float] = Field(description="What α was, in turn.")
    asked_alpha: float | None
    inputs: list[InputView]
    result: ResultView | None
    error: str | None
    revision: int

    @classmethod
    def of(cls, job: Job) -> Self:
        """A job as the page sees it."""
        scales = job.scales or []
        result = job.result and ResultView(**{name: job.result[name] for name in ResultView.model_fields})
        left_s = job.elapsed_s * (1 / job.progress - 1) if job.state == "running" and job.progress else None
        return cls(
            id=job.id,
            state=_state(job),
            progress=job.progress,
            step=_step(scales, job.progress),
            scales=scales,
            elapsed_s=job.elapsed_s,
            left_s=left_s,
            created_s=job.created_s,
            changed_s=job.changed_s,
            priority=job.priority,
            config=job.config,
            chosen=chosen(job.config),
            alphas=alphas_of(job),
            asked_alpha=job.asked_alpha,
            inputs=[InputView.of(role, file["name"], str(file["sha256"])) for role, file in job.inputs.items()],
            result=result or None,
            error=job.error,
            revision=job.revision,
        )


class FileView(Schema):
    """A picture that was uploaded. `recipe` tells that Impasto painted it, and how."""

    sha256: str
    name: str
    width: int
    height: int
    recipe: bool


class RecallView(Schema):
    """What painted a picture: the options that were chosen, its pictures, and which of those are still here."""

    chosen: dict[str, Any]
    alphas: list[float]
    inputs: list[InputView]
    here: list[str] = Field(description="The roles of those that are among the uploaded files.")


def _state(job: Job) -> Any:
    if job.state == "running" and job.asked == "cancel":
        return "cancelling"
    if job.held:
        return "pausing" if job.state == "running" else "paused"
    return job.state


def _step(scales: list[list[int]], progress: float) -> int:
    """How many steps were taken when so much of the work was done: steps times pixels."""
    total = sum(height * width * steps for height, width, steps in scales)
    left, count = progress * total, 0.0
    for height, width, steps in scales:
        taken = min(steps, left / (height * width))
        left -= taken * height * width
        count += taken
    return round(count)
