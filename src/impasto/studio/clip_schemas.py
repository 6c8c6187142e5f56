"""Answers about clips, as JSON."""

from __future__ import annotations

from pydantic import Field

from impasto.studio.schemas import Schema

__all__ = ["ClipView", "ShotView", "ShotsView"]


class ClipView(Schema):
    """An uploaded clip, with its upright size. Its frames are counted from 0."""

    sha256: str
    name: str
    width: int
    height: int
    duration_s: float
    rate: float = Field(description="Frames per second.")
    frame_count: int
    sound: bool
    recipe: bool = Field(False, description="In answer to an upload: true if Impasto painted it.")
    copied: bool = Field(description="True if browsers get a small copy to play, because they may not play the file.")
    note: str = Field("", description="In answer to an upload: what is missing of a file that is cut off.")


class ShotView(Schema):
    """Frames between two cuts."""

    first: int
    last: int
    start_s: float
    end_s: float


class ShotsView(Schema):
    """The shots of a clip. Finding them takes a while: until `complete`, ask again."""

    complete: bool
    frames_done: int = Field(description="Number of frames that were compared.")
    shots: list[ShotView] = Field(description="Empty until it is complete.")
    problem: str = Field(description="What is wrong with the first damaged frame. The shots end before it.")
