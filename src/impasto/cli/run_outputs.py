"""What a run leaves beside its picture where it is asked for: a film of how it went, and a report."""

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
from impasto.run.recipe import Recipe
from impasto.run.run import Result, Run

__all__ = ["RunOutputs", "report_of", "report_place"]

STRIP = 12
"""Views in a report's strip."""

LEAST_S, MOST_S = 0.5, 600.0


def report_place(picture: Path) -> Path:
    """Where a picture's report goes: beside it."""
    return picture.with_suffix(".html")


@dataclass
class RunOutputs:
    """What was asked for, and what was seen of the run by now. What was not asked for costs nothing."""

    timelapse: Path | None = None
    seconds: float | None = None
    report: bool = False
    film: Film | None = None

    def check(self, output: Path) -> list[Path]:
        """Where they go. Raises `ConfigError`, `OutputError` before anything is painted if one cannot be written."""
        places = []
        if self.timelapse is None and self.seconds is not None:
            raise ConfigError("--timelapse-seconds is of a film. Say where that goes with --timelapse FILE.")
        if self.timelapse is not None:
            check_film(self.timelapse)
            if self.seconds is not None and not LEAST_S <= self.seconds <= MOST_S:
                raise ConfigError(
                    f"A film of {self.seconds:g} s is refused. Give --timelapse-seconds from {LEAST_S:g} to {MOST_S:g}."
                )
            places.append(self.timelapse)
        if self.report:
            require_writable(report_place(output))
            places.append(report_place(output))
        if places:
            side = LONG_SIDE_PX[self.timelapse.suffix.lower()] if self.timelapse else STRIP_PX
            self.film = Film(side)
        return places

    def saw(self, progress: Progress) -> None:
        """Look at a step."""
        if self.film is not None:
            self.film.saw(progress)

    def write(self, result: Result, session: Run, picture: Path) -> list[Path]:
        """Write what was asked for; where each of it is. Raises `OutputError`."""
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
                pictures_by_role(session.inputs),
                losses=result.losses,
                seconds=result.seconds,
                film=self.film,
            )
            written.append(write_report(report, report_place(picture)))
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
        strip=film.evenly(STRIP) if film else (),
        seconds=seconds,
    )
