"""Which pictures there are to be: from what each is painted, how, and what it is called."""

from __future__ import annotations

import csv
import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto import images
from impasto.config import Config
from impasto.config.roles import KINDS, kind_of
from impasto.errors import ConfigError, InputError
from impasto.samples.sources import SAMPLE
from impasto.weights import load

__all__ = ["BatchItem", "check_further", "expand", "name_all", "read_pairs", "split_options"]

ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".tif", ".tiff", ".gif"}

STARTS = ("noise", "content", "style", "image")
"""What `init` may be beside a picture."""

FURTHER = re.compile(r"(content_mask|style_mask)(_\d+)?|style_\d+|protect|init|weights")
"""Roles of what a picture may be painted from, beside its content and its style."""


@dataclass(frozen=True)
class BatchItem:
    """A picture that there is to be: from what, how, and where it goes. Sources are by role: paths, or `sample:NAME`.

    The weights are one of them, where they are not the network's own.
    """

    sources: Mapping[str, str]
    config: Config
    output: Path

    @property
    def title(self) -> str:
        """What of, and in which manner."""
        styles = [_stem(place) for role, place in self.sources.items() if kind_of(role) == "style"]
        return f"{_stem(self.sources['content'])} × {' + '.join(styles)}"


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
            found += [str(path) for path in inside if not path.name.startswith(".") and not path.is_dir()]
        elif Path(place).exists():
            found.append(place)
        else:
            matches = glob.glob(place, recursive=True)  # noqa: PTH207 - a path's own knows no absolute patterns
            found += sorted(match for match in matches if Path(match).is_file())
    if not found:
        raise InputError(f"{', '.join(places)}: no pictures there for the {what}. Give a folder, files or a pattern.")
    return list(dict.fromkeys(found))


def read_pairs(path: Path) -> list[tuple[str, str, dict[str, str]]]:
    """Pairs from a CSV file with a head: `content`, `style`, and further pictures and options by name.

    Paths are relative to the file. Raises `InputError`.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV: {error}. Begin it with the line: content,style") from error
    pairs = []
    for number, row in enumerate(rows, start=2):
        if None in row:
            raise InputError(f"{path}, line {number}: more values than the head has names. Quote those with a comma.")
        row = {name.strip().replace("-", "_"): value.strip() for name, value in row.items() if value}
        if "content" not in row or "style" not in row:
            raise InputError(f"{path}, line {number}: no content or no style. Begin the file with: content,style")
        for name in row:
            if name in ("content", "style") or _is_picture(name, row[name]):
                row[name] = _beside(path, row[name])
        pairs.append((row.pop("content"), row.pop("style"), row))
    if not pairs:
        raise InputError(f"{path} has no pairs. Write a line for each, beneath: content,style")
    return pairs


def _is_picture(name: str, value: str) -> bool:
    return bool(FURTHER.fullmatch(name)) and not (name == "init" and value in STARTS)


def _beside(path: Path, name: str) -> str:
    return name if name.startswith(SAMPLE) else str(path.parent / name)


def split_options(content: str, style: str, given: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """What is given for a pair, as its sources and its options.

    In the place of a further picture {content} and {style} are the names of the pair's own. Raises `ConfigError`.
    """
    names = {"content": _stem(content), "style": _stem(style)}
    sources, options = {"content": content, "style": style}, dict(given)
    for role in given:
        if not _is_picture(role, given[role]):
            continue
        place = options.pop(role)
        try:
            sources[role] = place.format(**names)
        except (KeyError, ValueError, IndexError, AttributeError):
            raise ConfigError(
                f"{place!r} has braces that are neither {{content}} nor {{style}}, which stand for the names of a "
                "pair's pictures. Write a brace that is one twice."
            ) from None
        if role == "init":
            options["init"] = "image"
    kinds = [*KINDS, "weights"]
    return {
        role: sources[role] for role in sorted(sources, key=lambda role: (kinds.index(kind_of(role)), role))
    }, options


def check_further(wanted: Sequence[BatchItem]) -> None:
    """Find out what would fail everywhere: a mask of which not a single file is there, or one for all that is none.

    Where some are there, the others fail by themselves. Raises `InputError`, `ImageError`, `WeightsError`.
    """
    for role in dict.fromkeys(role for one in wanted for role in one.sources if FURTHER.fullmatch(role)):
        having = [one for one in wanted if role in one.sources]
        places = list(dict.fromkeys(one.sources[role] for one in having))
        if any(place.startswith(SAMPLE) for place in places):
            continue
        if not any(Path(place).exists() for place in places):
            others = f", nor any of the {len(places) - 1} others" if len(places) > 1 else ""
            raise InputError(f"{role.replace('_', ' ')}: there is no file {places[0]}{others}. Check the path.")
        if len(places) > 1 or len(having) < len(wanted):
            continue
        if role != "weights":
            images.open_image(Path(places[0]))
        for network in {one.config.network for one in having} if role == "weights" else ():
            load(network, Path(places[0]))


def name_all(
    runs: Iterable[tuple[Mapping[str, str], Config]], folder: Path, pattern: str = "", varied: Sequence[str] = ()
) -> list[BatchItem]:
    """Pictures with names made of a pattern: {content}, {style}, {number} and options, such as {alpha}.

    Further pictures have names too, such as {protect}. Without a pattern the name tells the pair, and what of the
    options is `varied`. Raises `ConfigError` for a pattern that has no such thing, and for two pictures of one name.
    """
    pattern = pattern or "_".join(["{content}", "{style}", *(f"{name}{{{name}}}" for name in varied)]) + ".png"
    wanted: dict[Path, BatchItem] = {}
    for number, (sources, config) in enumerate(runs, start=1):
        told = {name: _short(value) for name, value in config.model_dump(mode="json").items()}
        told |= {role: _stem(place)[:80] for role, place in sources.items()} | {"number": f"{number:05d}"}
        try:
            name = pattern.format(**told)
        except (KeyError, ValueError, IndexError, AttributeError) as error:
            known = "{content}, {style}, {number}, or an option such as {alpha}"
            raise ConfigError(f"{pattern!r} cannot name pictures: {error}. Use {known}.") from None
        one = BatchItem(sources, config, folder / re.sub(r"[^\w.+-]", "_", name).lstrip(".-"))
        other = wanted.setdefault(one.output, one)
        if other != one:  # else it was asked for twice
            raise ConfigError(
                f"{one.output.name} would be two pictures: of {_told(other)}, and of {_told(one)}. Tell them apart by "
                f"--names, such as {{number}}_{pattern}"
            )
    return list(wanted.values())


def _told(one: BatchItem) -> str:
    return f"{one.sources['content']} with {one.sources['style']}"


def _short(value: Any) -> str:
    if value is None:
        return "auto"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _stem(source: str) -> str:
    return Path(source.removeprefix(SAMPLE)).stem
