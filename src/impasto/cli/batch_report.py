"""What a batch comes to: told beforehand, shown as a contact sheet, and said in the end."""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from pathlib import Path

from impasto.cli.console import console, format_duration
from impasto.config import Config
from impasto.jobs.batch import Batch
from impasto.jobs.batch_plan import BatchItem
from impasto.render.gallery import GalleryEntry, write_gallery
from impasto.run import Run
from impasto.samples.sources import SAMPLE

__all__ = ["print_dry_run", "report", "write_index"]


def print_dry_run(wanted: Sequence[BatchItem], sessions: Sequence[Run], count: int, *, json: bool) -> int:
    """What there is to do, and how long it takes; the status. Nothing is painted, and no file is decoded."""
    missing = [one for one in wanted if not one.output.exists()]
    lost = {one.output: place for one in missing if (place := _lost(one))}
    missing = [one for one in missing if one.output not in lost]
    seconds = len(missing) * sum(one.estimate().seconds for one in sessions) / max(1, len(sessions)) / count
    failing = [{"output": str(path), "error": f"there is no file {place}"} for path, place in lost.items()]
    told = {"wanted": len(wanted), "missing": len(missing), "workers": count, "seconds": round(seconds)}
    if json:
        print(json_format.dumps(told | {"failed": failing, "outputs": [str(one.output) for one in missing]}))
        return 0
    for one in missing:
        print(f"{one.output}  {' × '.join(one.sources.values())}")
    for line in failing:
        console.print(f"{line['output']} will fail: {line['error']}")
    print(f"{len(missing)} of {len(wanted)} are missing: about {format_duration(seconds)} with {count} at once")
    return 0


def _lost(one: BatchItem) -> str | None:
    """A file of it that is not there."""
    places = (place for place in one.sources.values() if not place.startswith(SAMPLE))
    return next((place for place in places if not Path(place).exists()), None)


def write_index(work: Batch, folder: Path) -> None:
    """A page of all that is there, and of what is not."""
    entries = []
    options = [name for name in Config.model_fields if name != "alpha" and _varies(work, name)]
    for one in work.wanted:
        told = one.config.model_dump(mode="json", include=set(options))
        caption = f"{one.title}, α = {one.config.alpha:g}" + "".join(f", {name} = {told[name]}" for name in options)
        note = f"the same picture as {work.alike[one.output].name}" if one.output in work.alike else ""
        why = work.failed.get(one.output) or ("" if one.output.exists() else "not painted yet")
        entries.append(GalleryEntry(one.output.name, caption, work.losses.get(one.output, {}), note, why))
    write_gallery(folder / "index.html", entries)


def _varies(work: Batch, option: str) -> bool:
    return len({str(getattr(one.config, option)) for one in work.wanted}) > 1


def report(work: Batch, seconds: float, *, json: bool, quiet: bool) -> None:
    """Say what was done, what was there, and what failed, with its reason."""
    failed = [{"output": str(path), "error": why} for path, why in work.failed.items()]
    alike = {str(path): str(first) for path, first in work.alike.items() if path not in work.failed}
    if json:
        told = {
            "done": len(work.finished),
            "skipped": len(work.skipped),
            "failed": failed,
            "outputs": [str(one.output) for one in work.wanted if one.output in work.losses],
            "alike": alike,
            "seconds": round(seconds, 3),
        }
        print(json_format.dumps(told))
        return
    for one in failed:
        console.print(f"{one['output']}: {one['error']}")
    if not quiet:
        for path, first in alike.items():
            console.print(f"{path} is the same picture as {first}")
        print(f"{len(work.finished)} painted, {len(work.skipped)} there already, {len(failed)} failed")
