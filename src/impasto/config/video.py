"""The options of a clip: which part of it, how its frames follow each other, and how it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from impasto.config.model import Options, option
from impasto.config.types import Auto, parse_numbers
from impasto.errors import ConfigError

__all__ = ["FRAME_ITERATIONS", "PICTURES_ONLY", "Keyframe", "Keyframes", "VideoOptions", "options_at"]

CLIP, COHERENCE, CHANGES, FILE = "Clip", "Coherence", "Changes along the clip", "Video file"

FRAME_ITERATIONS = 20
"""Steps of a frame that starts from the one before (benchmarks/video.py)."""

CHANGEABLE = ("alpha", "style_weights", "content_weight", "palette_strength", "tv_weight")
"""Options that keyframes may change."""

PICTURES_ONLY = (
    "print", "dpi", "fit", "bleed", "panorama", "init", "save_every", "bits", "profile", "intent", "quality",
    "bleed_alpha", "supersample",
)  # fmt: skip
"""Options of pictures that a clip has not."""

MARK = re.compile(r"([a-z][a-z_-]*) ?= ?([^@;=]+?) ?@ ?(.+)")


class Keyframe(NamedTuple):
    """The values of one option at one time of the clip, in seconds."""

    option: str
    values: tuple[float, ...]
    time_s: float


def parse_seconds(value: Any) -> Any:
    """Return a time as seconds: 2.5, "2.5s", "1:30" or "0:01:30.5". Anything that is not text stays as it is."""
    if not isinstance(value, str):
        return value
    parts = value.strip().removesuffix("s").strip().split(":")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 3 or any(number < 0 for number in numbers):
        raise ValueError("a time is written as seconds, such as 2.5, or as minutes and seconds, such as 1:30")
    return sum(number * 60**power for power, number in enumerate(reversed(numbers)))


def parse_keyframes(value: Any) -> Any:
    """Parse "alpha=2@0s;10@4s;style-weights=1,0@0s;0,1@4s": a mark without a name belongs to the option before it."""
    if not isinstance(value, str):
        return tuple(Keyframe(*mark) for mark in value) if isinstance(value, Sequence) else value
    marks, name = [], ""
    for part in filter(None, (part.strip() for part in value.split(";"))):
        found = MARK.fullmatch(part if "=" in part else f"{name}={part}")
        if found is None:
            raise ValueError("keyframes are written as OPTION=VALUE@TIME, such as alpha=2@0s;10@4s")
        name = found[1].replace("-", "_")
        try:
            values = tuple(parse_numbers(found[2]))
        except ConfigError as error:
            raise ValueError(str(error)) from error
        marks.append(Keyframe(name, values, float(parse_seconds(found[3]))))
    return tuple(marks)


def _format_keyframes(marks: tuple[Keyframe, ...]) -> str:
    # Every digit counts: a recipe repeats the same pixels.
    return ";".join(f"{name}={','.join(map(repr, values))}@{time_s!r}s" for name, values, time_s in marks)


Seconds = Annotated[float, BeforeValidator(parse_seconds), Field(ge=0)]
Keyframes = Annotated[
    tuple[Keyframe, ...], BeforeValidator(parse_keyframes), PlainSerializer(_format_keyframes, when_used="json")
]


def parse_cuts(value: Any) -> Any:
    """Return the times of cuts in seconds: none of them for "none", and None for "auto"."""
    if not isinstance(value, str):
        return value
    if value.strip().lower() in ("auto", "none", ""):
        return None if value.strip().lower() == "auto" else ()
    return tuple(parse_seconds(part) for part in value.split(","))


Cuts = Annotated[tuple[Annotated[float, Field(ge=0)], ...] | None, BeforeValidator(parse_cuts)]


class VideoOptions(Options):
    """The options of a clip that its frames have not."""

    start: Seconds = option(0.0, group=CLIP, description="Time of the first frame, in seconds or as 1:30.", example=2.5)
    end: Auto[Seconds] = option(
        None, group=CLIP, description="Time to end before, in seconds or as 1:30. auto: the end of the clip.", example=6
    )
    every: int = option(
        1,
        group=CLIP,
        ge=1,
        le=1000,
        description="Paint every Nth frame, and show each for as long as N. The length stays.",
        example=2,
    )
    fps_out: Auto[float] = option(
        None,
        group=CLIP,
        gt=0,
        le=240,
        label="Frames per second",
        description="Frames per second of the output, taken from the frames of the clip. auto: the clip's own times.",
        example=12,
    )
    seconds: Auto[float] = option(
        None,
        group=CLIP,
        gt=0,
        le=3600,
        description="Length of a clip that is painted from one photo, with keyframes.",
        example=8,
    )
    loop: bool = option(
        False, group=CLIP, description="Repaint the first frames so that the last one leads into them.", example=True
    )
    temporal_weight: float = option(
        1.0,
        group=COHERENCE,
        ge=0,
        le=1000,
        description="Weight of what the frame before showed. Higher flickers less, and smooths more. 0: none.",
        example=3,
    )
    consistency: Literal["short", "long"] = option(
        "short",
        group=COHERENCE,
        description="Frames that a frame keeps to: the one before, or also those further back where that one was "
        "hidden, so that what reappears looks as it did.",
        example="long",
    )
    still: bool = option(
        True,
        group=COHERENCE,
        label="Keep still parts",
        description="Keep every pixel exactly where nothing moves.",
        example=False,
    )
    frame_iterations: int = option(
        FRAME_ITERATIONS,
        group=COHERENCE,
        ge=1,
        le=10_000,
        description="Steps of each frame after the first of a shot. They start from the frame before.",
        example=30,
    )
    cuts: Cuts = option(
        None,
        group=COHERENCE,
        description="Times of cuts in seconds, where the picture starts anew, such as 2.5,6.2; on the command line "
        "also a FILE with one on each line. auto: find them. none: one shot.",
        example="2.5,6.2",
    )
    keyframes: Keyframes = option(
        (),
        group=CHANGES,
        description="Options that change along the clip, linear between marks, such as alpha=2@0s;10@4s or "
        "style-weights=1,0@0s;0,1@4s.",
        example="alpha=2@0s;10@4s",
    )
    codec: Literal["h264", "hevc", "av1"] = option(
        "h264",
        group=FILE,
        description="Codec of a video. h264 plays everywhere, and is VP9 in .webm; hevc is not for .webm, av1 not for "
        ".mov.",
        example="av1",
    )
    crf: int = option(
        16,
        group=FILE,
        ge=0,
        le=51,
        label="Quality (CRF)",
        description="Constant rate factor: lower is a better picture and a larger file.",
        example=20,
    )
    lossless: bool = option(False, group=FILE, description="Write the exact pixels, in a large file.", example=True)

    @model_validator(mode="after")
    def _check(self) -> VideoOptions:
        if self.end is not None and self.end <= self.start:
            raise ConfigError(f"end = {self.end:g} s is not after start = {self.start:g} s. Use a later end.")
        if self.lossless and self.codec != "h264":
            raise ConfigError(f"codec = {self.codec} is not lossless here. Leave `codec` or `lossless` out.")
        for name in dict.fromkeys(mark.option for mark in self.keyframes):
            if name not in CHANGEABLE:
                raise ConfigError(f"keyframes cannot change `{name}`. They can change {', '.join(CHANGEABLE)}.")
            counts = sorted({len(mark.values) for mark in self.keyframes if mark.option == name})
            if len(counts) > 1 or (counts[0] > 1 and name != "style_weights"):
                raise ConfigError(
                    f"keyframes give `{name}` {counts[-1]} values at a time. Give one number, or as many."
                )
        return self


def options_at(keyframes: Sequence[Keyframe], time_s: float | Fraction) -> Mapping[str, Any]:
    """Return the options at one time: linear between marks, constant before the first and after the last."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(mark.option for mark in keyframes):
        marks = sorted((mark for mark in keyframes if mark.option == name), key=lambda mark: mark.time_s)
        before = [mark for mark in marks if mark.time_s <= time_s] or marks[:1]
        after = [mark for mark in marks if mark.time_s > time_s] or marks[-1:]
        first, last = before[-1], after[0]
        span = last.time_s - first.time_s
        share = float(time_s - first.time_s) / span if span > 0 and time_s > first.time_s else 0.0
        values = tuple(a + (b - a) * share for a, b in zip(first.values, last.values, strict=True))
        found[name] = values if name.endswith("weights") else values[0]
    return found
