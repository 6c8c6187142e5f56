"""Files that a run writes beside its picture: a film and a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from impasto.config.run_options import FILM_S
from impasto.core.method import Progress
from impasto.errors import ConfigError
from impasto.files import require_writable
from impasto.insight.report import FRAME_PX, build_run_report, write_report
from impasto.render.film import Film
from impasto.render.film_formats import LONG_SIDE_PX, require_film
from impasto.run import Result, Run

__all__ = ["RunOutputs", "report_path"]

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
            require_film(self.timelapse)
            if self.seconds is not None and not MIN_SECONDS <= self.seconds <= MAX_SECONDS:
                raise ConfigError(
                    f"--timelapse-seconds {self.seconds:g} is out of range. Give {MIN_SECONDS:g} to {MAX_SECONDS:g}."
                )
            paths.append(self.timelapse)
        if self.report:
            require_writable(report_path(output))
            paths.append(report_path(output))
        if paths:
            self.film = Film(LONG_SIDE_PX[self.timelapse.suffix.lower()] if self.timelapse else FRAME_PX)
        return paths

    def observe(self, run: Run, progress: Progress) -> None:
        """Record a step for the film and the report."""
        if self.film is not None:
            self.film.observe(run, progress)

    def write(self, result: Result, run: Run, picture: Path) -> list[Path]:
        """Write the files and return their paths. Raises `OutputError`."""
        written = []
        if self.timelapse is not None and self.film is not None:
            self.film.write(self.timelapse, seconds=self.seconds or FILM_S)
            written.append(self.timelapse)
        if self.report:
            report = build_run_report(run, result, name=picture.name, film=self.film)
            written.append(write_report(report, report_path(picture)))
        return written
