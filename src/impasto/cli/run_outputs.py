"""Files that a run writes beside its picture: a film and a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from impasto import images
from impasto.config.roles import kind_of, pictures_by_role
from impasto.core.image import resize, thumbnail
from impasto.core.method import Progress
from impasto.errors import ConfigError
from impasto.files import require_writable
from impasto.insight.report import SHOWN_PX, STRIP_PX, Report, write_report
from impasto.render.film import LONG_SIDE_PX, SECONDS, Film, check_film
from impasto.run import Result, Run
from impasto.run.recipe import Recipe

__all__ = ["RunOutputs", "report_of", "report_path"]

STRIP_FRAMES = 12
"""Frames in a report's strip."""

MIN_SECONDS, MAX_SECONDS = 0.5, 600.0


def report_path(picture: Path) -> Path:
    """Return the path of a picture's report, beside it."""
    return picture.with_suffix(".html")


@dataclass
class RunOutputs:
    """The files that a run writes beside its picture, if asked: a film and a report."""

    timelapse: Path | None = None
    seconds: float | None = None
    report: bool = False
    film: Film | None = None

    def check(self, output: Path) -> list[Path]:
        """Return the paths to be written. Raises `ConfigError`, `OutputError` if one cannot be."""
        paths = []
        if self.timelapse is None and self.seconds is not None:
            raise ConfigError("--timelapse-seconds needs a film. Name its file with --timelapse FILE.")
        if self.timelapse is not None:
            check_film(self.timelapse)
            if self.seconds is not None and not MIN_SECONDS <= self.seconds <= MAX_SECONDS:
                raise ConfigError(
                    f"--timelapse-seconds {self.seconds:g} is out of range. Give {MIN_SECONDS:g} to {MAX_SECONDS:g}."
                )
            paths.append(self.timelapse)
        if self.report:
            require_writable(report_path(output))
            paths.append(report_path(output))
        if paths:
            self.film = Film(LONG_SIDE_PX[self.timelapse.suffix.lower()] if self.timelapse else STRIP_PX)
        return paths

    def observe(self, run: Run, progress: Progress) -> None:
        """Record a step for the film and the report."""
        if self.film is not None:
            self.film.saw(progress)

    def write(self, result: Result, run: Run, picture: Path) -> list[Path]:
        """Write the files and return their paths. Raises `OutputError`."""
        written = []
        if self.timelapse is not None and self.film is not None:
            self.film.write(self.timelapse, seconds=self.seconds or SECONDS)
            written.append(self.timelapse)
        if self.report:
            report = report_of(
                picture.name,
                result.recipe,
                thumbnail(result.image, SHOWN_PX),
                (result.image.shape[2], result.image.shape[3]),
                pictures_by_role(run.inputs),
                losses=result.losses,
                seconds=result.seconds,
                film=self.film,
            )
            written.append(write_report(report, report_path(picture)))
        return written


def report_of(
    name: str,
    recipe: Recipe,
    image: Tensor,
    size: tuple[int, int],
    pictures: Mapping[str, Any],
    *,
    losses: dict[str, float] | None = None,
    seconds: float | None = None,
    film: Film | None = None,
) -> Report:
    """A report on a picture of `size` (height, width), with those of its inputs, by role, that were found.

    `image` (1, 3, H, W) is the picture as it is shown, which may be smaller.
    """
    height, width = image.shape[2:]

    def load(role: str, **size: Any) -> Tensor | None:
        return images.load(pictures[role], **size).pixels if pictures.get(role) is not None else None

    content = load("content", long_side_px=max(height, width), enlarge=True)
    styles = [role for role in recipe.inputs if kind_of(role) == "style"]
    return Report(
        name=name,
        recipe=recipe,
        image=image,
        size=size,
        content=resize(content, height, width).clamp(0, 1) if content is not None else None,
        styles=[(role, load(role, long_side_px=SHOWN_PX)) for role in styles],
        losses=losses or {},
        strip=film.evenly(STRIP_FRAMES) if film else (),
        seconds=seconds,
    )
