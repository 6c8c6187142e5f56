"""Outcomes of a batch: an estimate, a report, and an index page of its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from impasto.config import Config
from impasto.errors import ImpastoError
from impasto.jobs.batch_plan import BatchItem
from impasto.render.gallery import GalleryEntry, write_gallery

__all__ = ["BatchEstimate", "BatchReport", "write_index"]


@dataclass(frozen=True)
class BatchReport:
    """The outcome of a batch, by output.

    `existing` pictures were not painted again, `duplicates` are the same picture as another output. `error` is the
    error that ended the batch early, such as a lost cluster.
    """

    items: Sequence[BatchItem]
    painted: list[Path] = field(default_factory=list)
    existing: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    duplicates: dict[Path, Path] = field(default_factory=dict)
    losses: dict[Path, dict[str, float]] = field(default_factory=dict)
    seconds: float = 0.0
    error: ImpastoError | None = None


@dataclass(frozen=True)
class BatchEstimate:
    """The work and time that a batch needs. `failed` lists pictures whose inputs are missing."""

    missing: Sequence[BatchItem]
    failed: dict[Path, str]
    workers: int
    seconds: float


def write_index(report: BatchReport, folder: Path) -> None:
    """Write a gallery of the pictures, with a list of those that failed or are missing."""
    items = report.items
    swept = [name for name in Config.model_fields if name != "alpha" and _varies(items, name)]
    entries = []
    for item in items:
        options = item.config.model_dump(mode="json", include=set(swept))
        caption = f"{item.title}, α = {item.config.alpha:g}" + "".join(f", {name} = {options[name]}" for name in swept)
        first = report.duplicates.get(item.output)
        note = f"the same picture as {first.name}" if first is not None else ""
        problem = report.failed.get(item.output) or ("" if item.output.exists() else "not painted yet")
        losses = report.losses.get(item.output, {})
        entries.append(GalleryEntry(item.output.name, caption, losses, note, problem))
    write_gallery(folder / "index.html", entries)


def _varies(items: Sequence[BatchItem], option: str) -> bool:
    return len({str(getattr(item.config, option)) for item in items}) > 1
