"""Many pictures: which there are to be, what they are called, which of them are there already.

A picture is known by the hash of its options and inputs, so a second call does only what is missing.
"""

from __future__ import annotations

import csv
import glob
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impasto import images
from impasto.config import Config, RunOptions
from impasto.errors import ConfigError, ImpastoError, InputError
from impasto.jobs.errors import JobError
from impasto.jobs.model import Job
from impasto.jobs.store import JobStore
from impasto.jobs.work import key_of, stored

__all__ = ["Batch", "Wanted", "expand", "name_all", "read_pairs"]

ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".tif", ".tiff", ".gif"}
SAMPLE = "sample:"

BEHIND = -10
"""Priority of a batch: whoever waits for one picture goes first."""


@dataclass(frozen=True)
class Wanted:
    """A picture that there is to be: from what, how, and where it goes. Sources are paths, or `sample:NAME`."""

    content: str
    style: str
    config: Config
    output: Path


def expand(places: Sequence[str], what: str) -> list[str]:
    """Folders, files, patterns and samples as pictures, in order. Raises `InputError` if there are none.

    A folder stands for the pictures in it, by their endings, and not for those of folders below.
    """
    found: list[str] = []
    for place in places:
        if place.startswith(SAMPLE):
            found.append(place)
        elif Path(place).is_dir():
            inside = sorted(path for path in Path(place).iterdir() if path.suffix.lower() in ENDINGS)
            found += [str(path) for path in inside if not path.name.startswith(".")]
        elif Path(place).exists():
            found.append(place)
        else:
            matches = glob.glob(place, recursive=True)  # noqa: PTH207 - a path's own knows no absolute patterns
            found += sorted(match for match in matches if Path(match).is_file())
    if not found:
        raise InputError(f"{', '.join(places)}: no pictures there for the {what}. Give a folder, files or a pattern.")
    return list(dict.fromkeys(found))


def read_pairs(path: Path) -> list[tuple[str, str, dict[str, str]]]:
    """Pairs from a CSV file with a head: `content`, `style`, and options by name. Raises `InputError`.

    Paths are relative to the file.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV: {error}. Begin it with the line: content,style") from error
    pairs = []
    for number, row in enumerate(rows, start=2):
        row = {name.strip(): value.strip() for name, value in row.items() if name and value}
        if "content" not in row or "style" not in row:
            raise InputError(f"{path}, line {number}: no content or no style. Begin the file with: content,style")
        content, style = (_beside(path, row.pop(name)) for name in ("content", "style"))
        pairs.append((content, style, row))
    if not pairs:
        raise InputError(f"{path} has no pairs. Write a line for each, beneath: content,style")
    return pairs


def _beside(path: Path, name: str) -> str:
    return name if name.startswith(SAMPLE) else str(path.parent / name)


def name_all(
    runs: Iterable[tuple[str, str, Config]], folder: Path, pattern: str = "", varied: Sequence[str] = ()
) -> list[Wanted]:
    """Pictures with names made of a pattern: {content}, {style}, {number} and options, such as {alpha}.

    `varied` are the options that the usual pattern tells. Raises `ConfigError`: a pattern that asks for what there is
    not, or that gives two pictures one name.
    """
    pattern = pattern or "_".join(["{content}", "{style}", *(f"{name}{{{name}}}" for name in varied)]) + ".png"
    wanted = []
    for number, (content, style, config) in enumerate(runs, start=1):
        told = {"content": _stem(content), "style": _stem(style), "number": f"{number:05d}"}
        told |= {name: _short(value) for name, value in config.model_dump(mode="json").items()}
        try:
            name = pattern.format(**told)
        except (KeyError, ValueError, IndexError, AttributeError) as error:
            known = "{content}, {style}, {number}, or an option such as {alpha}"
            raise ConfigError(f"{pattern!r} cannot name pictures: {error}. Use {known}.") from None
        wanted.append(Wanted(content, style, config, folder / re.sub(r"[^\w.+-]", "_", name).lstrip(".-")))
    seen: dict[Path, Wanted] = {}
    for one in wanted:
        other = seen.setdefault(one.output, one)
        if other is not one:
            raise ConfigError(
                f"{one.output.name} would be two pictures: of {other.content} with {other.style}, and of {one.content} "
                f"with {one.style}. Tell them apart by --names, such as {{number}}_{pattern}"
            )
    return wanted


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _stem(source: str) -> str:
    return Path(source.removeprefix(SAMPLE)).stem[:80]


@dataclass
class Batch:
    """Pictures of one call, and what is known of them. `source` is what a name, of a file or a sample, means."""

    store: JobStore
    wanted: Sequence[Wanted]
    source: Callable[[str, int], Any]
    run: RunOptions = field(default_factory=RunOptions)
    skipped: list[Wanted] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    jobs: dict[int, Wanted] = field(default_factory=dict)
    _seen: dict[int, Job] = field(default_factory=dict)
    _revision: int = -1

    def enqueue(self, *, retry: bool = False) -> None:
        """Put what is missing into the queue. What cannot be read fails by itself, and the rest goes on."""
        kept: dict[str, dict[str, str | None] | str] = {}
        for one in self.wanted:
            try:
                files = {role: self._kept(kept, getattr(one, role), one.config.size) for role in ("content", "style")}
                self._enqueue(one, files, retry)
            except ImpastoError as error:
                self.failed[one.output] = str(error)

    def _kept(self, kept: dict[str, Any], source: str, size_px: int) -> dict[str, str | None]:
        """A source among the queue's files; each is read once, or fails once."""
        name = f"{source} {size_px}" if source.startswith(SAMPLE) else source
        if name not in kept:
            try:
                kept[name] = stored(self.store, self.source(source, size_px))
            except ImpastoError as error:
                kept[name] = str(error)
        if isinstance(kept[name], str):
            raise JobError(kept[name])
        found: dict[str, str | None] = kept[name]
        return found

    def _enqueue(self, one: Wanted, files: Mapping[str, Mapping[str, str | None]], retry: bool) -> None:
        told = one.config.model_dump(mode="json")
        key, output = key_of(told, files), str(one.output.absolute())
        done = next((job for job in self.store.jobs(key=key) if job.result and self._is_whole(job)), None)
        if done is not None and done.result is not None:
            self._give(self.store.files.path(done.result["sha256"]), done.result["sha256"], one.output)
            self.skipped.append(one)
            return
        if one.output.exists():
            raise JobError(f"{one.output} is there already, and is another picture. Move it, or choose another -o.")
        run = self.run.model_dump(mode="json")
        job = self.store.add(told, files, key=key, run=run, output=output, priority=BEHIND, once=True)
        if job.state in ("failed", "cancelled"):
            if not retry:
                self.failed[one.output] = f"{job.error or 'it was cancelled'} (try again with --retry)"
                return
            job = self.store.retry(job.id)
        elif job.state == "done":  # and its picture is gone
            self.store.remove(job.id)
            job = self.store.add(told, files, key=key, run=run, output=output, priority=BEHIND, once=True)
        self.jobs[job.id] = one

    def _is_whole(self, job: Job) -> bool:
        return job.result is not None and self.store.files.path(job.result["sha256"]).is_file()

    def _give(self, picture: Path, sha256: str, output: Path) -> None:
        """Put a picture that was painted before where it is asked for. What is there is not replaced."""
        if not output.exists():
            with images.replacing(output) as temporary:
                shutil.copyfile(picture, temporary)
        elif images.sha256_of(output) != sha256:
            raise JobError(f"{output} is there already, and is another picture. Move it, or choose another -o.")

    def standing(self) -> list[Job]:
        """Its jobs as they stand; those that failed are told of in `failed`."""
        self._revision, changed, left = self.store.changed(self._revision)
        self._seen |= {job.id: job for job in changed if job.id in self.jobs}
        for number in self.jobs.keys() - left if left is not None else ():
            self.failed[self.jobs.pop(number).output] = "it was removed from the queue"
        for number in self.jobs:
            job = self._seen[number]
            if job.state in ("failed", "cancelled"):
                self.failed[self.jobs[number].output] = job.error or "it was cancelled"
        return [self._seen[number] for number in self.jobs]
