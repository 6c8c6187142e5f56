"""The data of the REST API: requests, and jobs as clients see them."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from impasto.config import Config, RunOptions
from impasto.config.run_options import BUILT_IN_PROFILES
from impasto.config.video import VideoOptions
from impasto.config.wrap import Wrap
from impasto.jobs import Job
from impasto.samples.sources import parse_sample_name

__all__ = [
    "API_VERSION",
    "Alpha",
    "FileView",
    "Health",
    "InputView",
    "JobView",
    "PaintRequest",
    "PictureRef",
    "Problem",
    "ProfileRef",
    "ProfileView",
    "RecipeView",
    "ScoreRequest",
    "Token",
    "clip_options",
    "file_options",
]

API_VERSION = 1
"""Version of the REST API. It is raised when clients have to change; `clients/python` states the one that it speaks."""

PYRAMID = 4 / 3
"""Work of all sizes of a picture, to that of the last one: each has twice the side of the one before."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="The SHA-256 of an uploaded file.")]


class Schema(BaseModel):
    """A JSON object with exactly these fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Problem(Schema):
    """The reason why a request failed, in one line."""

    error: str


class Health(Schema):
    """The versions of a running studio."""

    version: str
    api: int = Field(description="Version of this API.")


class Token(Schema):
    """The token that gives access to the studio."""

    token: str = Field(max_length=1000)


class Alpha(Schema):
    """A new value of α."""

    alpha: float = Field(ge=0)


class PictureRef(Schema):
    """A picture: an uploaded file by its hash, or a sample by its name."""

    sha256: Sha256 | None = None
    name: str | None = Field(None, max_length=255, description="A name to display. It is never used as a path.")
    sample: str | None = Field(None, max_length=40, description="The name of a sample, instead of a hash.")

    @model_validator(mode="after")
    def _require_one(self) -> Self:
        if (self.sha256 is None) == (self.sample is None):
            raise ValueError("give sha256 or sample, and not both")
        return self


class ProfileRef(Schema):
    """An uploaded color profile."""

    sha256: Sha256
    name: str = Field(max_length=255, description="Its name in the recipe. It is never used as a path.")


class PaintRequest(Schema):
    """A picture to paint, or a clip."""

    content: PictureRef
    styles: list[PictureRef] = Field(min_length=1, max_length=16)
    init: PictureRef | None = None
    content_masks: list[PictureRef] = Field([], max_length=16)
    style_masks: list[PictureRef] = Field([], max_length=16)
    protect: PictureRef | None = None
    preset: str = Field("painterly", max_length=40, description="The preset that the options below override.")
    config: dict[str, Any] = Field({}, description="Options that shape the picture, by name: see /api/options.")
    run: dict[str, Any] = Field({}, description="Options that do not shape the picture: see `run` of /api/options.")
    profile: ProfileRef | None = Field(None, description="An uploaded color profile, in place of `run.profile`.")
    video: dict[str, Any] | None = Field(
        None, description="For a clip, whose hash `content` then has: options by name, see `video` of /api/options."
    )
    priority: int = Field(0, ge=-100, le=100, description="Jobs with a higher priority start first.")


class ScoreRequest(Schema):
    """A picture to score against its content and style."""

    content: PictureRef
    style: PictureRef
    image: PictureRef
    wrap: Wrap = Field("none", description="Edges of the picture that are to meet.")


class InputView(Schema):
    """A picture that a job starts from."""

    role: str
    name: str | None
    sha256: str
    sample: str | None = Field(description="The name of the sample, if it is one.")

    @classmethod
    def of(cls, role: str, name: str | None, sha256: str) -> InputView:
        """Describe a recorded input."""
        return cls(role=role, name=name, sha256=sha256, sample=parse_sample_name(name or ""))


class ResultView(Schema):
    """The result of a finished job; of a clip that failed, what was painted. `suffix` is that of the file."""

    suffix: str
    width: int
    height: int
    losses: dict[str, float] = Field({}, description="Empty for a clip.")
    seconds: float
    evaluations: int = Field(0, description="0 for a clip.")
    frames: int | None = Field(None, description="Number of frames of a clip.")
    duration_s: float | None = Field(None, description="Length of a clip.")

    @classmethod
    def of(cls, result: dict[str, Any]) -> Self:
        """Describe the result of a job."""
        return cls(**{name: result[name] for name in cls.model_fields if name in result})


class JobView(Schema):
    """A job as it is now. A job that waits because it was paused has the state `paused`."""

    id: int
    state: Literal["queued", "running", "pausing", "paused", "cancelling", "done", "failed", "cancelled"]
    progress: float = Field(description="Share of the work that is done, from 0 to 1.")
    step: int = Field(description="Steps done, over all sizes.")
    scales: list[list[int]] = Field(description="Height, width and steps of each size; empty before the first step.")
    elapsed_s: float
    remaining_s: float | None = Field(description="Estimated seconds left, or null if unknown.")
    created_s: float
    updated_s: float
    priority: int
    config: dict[str, Any] = Field(description="All options.")
    overrides: dict[str, Any] = Field(description="The options that differ from their defaults.")
    run: dict[str, Any] = Field(description="The options of the file that differ from their defaults.")
    video: dict[str, Any] | None = Field(description="The options of a clip that differ from their defaults.")
    frames: list[int] | None = Field(description="Of a clip: the number of frames that are painted, and of all.")
    alphas: list[float] = Field(description="All values of α, in order.")
    requested_alpha: float | None = Field(description="A new α that applies after the current step.")
    inputs: list[InputView]
    result: ResultView | None
    error: str | None
    note: str = Field("", description="In answer to a new job: the resolution that its pictures have in a print.")
    revision: int

    @classmethod
    def of(cls, job: Job) -> Self:
        """Describe a job of the queue."""
        scales = job.scales or []
        return cls(
            id=job.id,
            state=_state(job),
            progress=job.progress,
            step=_count_steps(scales, job.progress),
            scales=scales,
            elapsed_s=job.elapsed_s,
            remaining_s=_remaining_s(job) if job.state == "running" and job.progress else None,
            created_s=job.created_s,
            updated_s=job.changed_s,
            priority=job.priority,
            config=job.config,
            overrides=Config(**job.config).overrides(),
            run=file_options(RunOptions(**job.run)),
            video=clip_options(job.video) if job.video is not None else None,
            frames=job.frames,
            alphas=job.alphas,
            requested_alpha=job.requested_alpha,
            inputs=[InputView.of(role, file["name"], str(file["sha256"])) for role, file in job.inputs.items()],
            result=ResultView.of(job.result) if job.result else None,
            error=job.error,
            revision=job.revision,
        )


class FileView(Schema):
    """An uploaded picture. `recipe` is true if Impasto painted it."""

    sha256: str
    name: str
    width: int
    height: int
    recipe: bool


class ProfileView(Schema):
    """An uploaded color profile. One of `cmyk` is written as TIFF."""

    sha256: str
    name: str
    space: Literal["rgb", "cmyk"]


class RecipeView(Schema):
    """The recipe of a picture or a clip: its options, its inputs, and which of those are stored here."""

    overrides: dict[str, Any] = Field(description="The options that differ from their defaults.")
    run: dict[str, Any] = Field(description="The options of the file that differ from their defaults.")
    video: dict[str, Any] | None = Field(None, description="The options of a clip that differ from their defaults.")
    alphas: list[float] = Field(description="All values of α, in order.")
    inputs: list[InputView]
    available: list[str] = Field(description="The roles of the inputs that are stored here.")


def file_options(options: RunOptions) -> dict[str, Any]:
    """Return the options of a picture's file that differ from their defaults. An uploaded profile is an input."""
    usual = RunOptions()
    changed = {name: getattr(options, name) for name in ("bits", "profile", "intent", "quality")}
    changed = {name: value for name, value in changed.items() if value != getattr(usual, name)}
    if options.profile not in BUILT_IN_PROFILES:
        changed.pop("profile", None)
    return changed


def clip_options(video: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a clip that differ from their defaults, as a person would write them."""
    usual = VideoOptions().model_dump(mode="json")
    changed = VideoOptions(**video).model_dump(mode="json")
    return {name: value for name, value in changed.items() if value != usual[name]}


def _remaining_s(job: Job) -> float:
    """Estimate the seconds left. The first frame of a shot takes more steps than the others."""
    if job.frames is None or job.video is None:
        return job.elapsed_s * (1 / job.progress - 1)
    done, count = job.frames
    config, frame_steps = Config(**job.config), float(job.video["frame_iterations"])
    steps = config.resolve(config.longest_px, config.longest_px).iterations
    shots = min(count, 1 + len(job.video["cuts"] or ()))
    extra = max(0.0, PYRAMID * steps / frame_steps - 1)
    work, all_work = done + extra * math.ceil(shots * done / count), count + extra * shots
    return job.elapsed_s * (all_work / work - 1)


def _state(job: Job) -> Any:
    if job.state == "running" and job.command == "cancel":
        return "cancelling"
    if job.paused:
        return "pausing" if job.state == "running" else "paused"
    return job.state


def _count_steps(scales: list[list[int]], progress: float) -> int:
    """Convert a share of the work, which is steps times pixels, to a number of steps."""
    total = sum(height * width * steps for height, width, steps in scales)
    remaining, count = progress * total, 0.0
    for height, width, steps in scales:
        done = min(steps, remaining / (height * width))
        remaining -= done * height * width
        count += done
    return round(count)
