"""The events of a job."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Union

__all__ = ["Cancelled", "Done", "Event", "Failed", "Preview", "Progress", "ending_of", "progress_of"]

COUNTS = ("step", "scale", "iteration")
"""What a row of losses holds besides losses."""


@dataclass(frozen=True)
class Progress:
    """The progress of a job. Its state is queued, running, pausing, paused or cancelling, or how it has just ended.

    `steps` is 0 until it is known. `fraction` is the share of the work that is done, from 0 to 1. Clips have no steps:
    `frame` of `frames` are painted.
    """

    state: str
    step: int
    steps: int
    fraction: float
    remaining_s: float | None = None
    losses: dict[str, float] = field(default_factory=dict)
    frame: int = 0
    frames: int = 0


@dataclass(frozen=True)
class Preview:
    """The picture as it is now, a small JPEG."""

    jpeg: bytes


@dataclass(frozen=True)
class Done:
    """The end of a job that has a picture of this size, or a clip of so many frames. `seconds` is painting time."""

    width: int
    height: int
    losses: dict[str, float]
    seconds: float
    frames: int = 0
    duration_s: float = 0.0


@dataclass(frozen=True)
class Failed:
    """The end of a job that failed, with the studio's message."""

    message: str


@dataclass(frozen=True)
class Cancelled:
    """The end of a job that was cancelled."""


Event = Union[Progress, Preview, Done, Failed, Cancelled]


def progress_of(view: dict[str, Any], losses: dict[str, float]) -> Progress:
    """Describe the progress of a job from the studio's view of it."""
    frame, frames = view.get("frames") or (0, 0)
    return Progress(
        state=view["state"],
        step=int(losses.get("step", view["step"])),
        steps=sum(steps for _, _, steps in view["scales"]),
        fraction=view["progress"],
        remaining_s=view["remaining_s"],
        losses={name: value for name, value in losses.items() if name not in COUNTS},
        frame=frame,
        frames=frames,
    )


def ending_of(view: dict[str, Any]) -> Done | Failed | Cancelled | None:
    """Return how a job has ended, or None if it has not."""
    if view["state"] == "done":
        result = view["result"]
        return Done(
            result["width"],
            result["height"],
            result["losses"],
            result["seconds"],
            result.get("frames") or 0,
            result.get("duration_s") or 0.0,
        )
    if view["state"] == "failed":
        return Failed(view["error"] or "The job failed.")
    return Cancelled() if view["state"] == "cancelled" else None
