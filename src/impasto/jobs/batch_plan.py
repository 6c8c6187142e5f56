"""The pictures and clips of a batch: the sources, options and output of each."""

from __future__ import annotations

import codecs
import csv
import glob
import io
import itertools
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto import images
from impasto.clips.kinds import CLIP_SUFFIX, is_clip, is_clip_file, is_pattern
from impasto.clips.picture_frames import find_pictures
from impasto.config import Config
from impasto.config.roles import KINDS, kind_of
from impasto.config.types import is_named_start
from impasto.config.video import VideoOptions
from impasto.errors import ConfigError, ImageError, InputError, VideoError
from impasto.images.formats import require_readable_file
from impasto.samples.sources import SAMPLE
from impasto.weights import load

__all__ = ["BatchItem", "check_shared_inputs", "configure_items", "expand", "name_items", "read_pairs", "split_options"]

logger = logging.getLogger("impasto")

MAX_NAMED = 5
"""Unreadable files of a folder that are named in a warning."""

SEPARATORS = ",;\t"

EXTRA_ROLES = re.compile(r"(content_mask|style_mask)(_\d+)?|style_\d+|protect|init|weights")
"""Roles that an item may have besides content and style."""

Pair = tuple[str, str, Mapping[str, Any]]
"""A content, a style, and this pair's own options."""


@dataclass(frozen=True)
class BatchItem:
    """One picture of a batch; with options of `video`, a clip.

    `sources` maps roles to paths or `sample:NAME`, including the weights, if given.
    """

    sources: Mapping[str, str]
    config: Config
    output: Path
    video: VideoOptions | None = None

    @property
    def title(self) -> str:
        """The names of content and styles."""
        styles = [_stem(source) for role, source in self.sources.items() if kind_of(role) == "style"]
        return f"{_stem(self.sources['content'])} × {' + '.join(styles)}"

    @property
    def missing_source(self) -> str | None:
        """A source file that does not exist."""
        paths = (source for source in self.sources.values() if not source.startswith(SAMPLE))
        return next((path for path in paths if not _exists(path)), None)


def expand(places: Sequence[str], what: str, *, clips: bool = False) -> list[str]:
    """Return the pictures in folders, files, patterns and samples, and with `clips` also the clips.

    Raises `InputError` if there are none. Of a folder, these are the files whose first bytes are a picture's, whatever
    their names, and those that are named like clips; others are named in a warning. Hidden files and subfolders are
    skipped.
    """
    pictures: list[str] = []
    for place in places:
        if place.startswith(SAMPLE):
            pictures.append(place)
        elif Path(place).is_dir():
            pictures += _pictures_in(Path(place), clips=clips)
        elif Path(place).exists() or (clips and "%" in Path(place).name):
            pictures.append(place)
        else:
            matches = glob.glob(place, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute patterns
            pictures += sorted(match for match in matches if Path(match).is_file())
    if not pictures:
        raise InputError(
            f"There is no picture for the {what} in {', '.join(places)}. Give a folder, files or a pattern."
        )
    return list(dict.fromkeys(pictures))


def _pictures_in(folder: Path, *, clips: bool) -> list[str]:
    pictures, others = [], []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.is_dir():
            continue
        if not path.is_file():
            others.append(f"{path} is a pipe, a device or a broken link.")
            continue
        if clips and is_clip_file(path):
            pictures.append(str(path))
            continue
        try:
            require_readable_file(path)
            pictures.append(str(path))
        except ImageError as error:
            others.append(str(error))
    if others:
        more = f" And {len(others) - MAX_NAMED} more." if len(others) > MAX_NAMED else ""
        logger.warning("Not in the batch: %s%s", " ".join(others[:MAX_NAMED]), more)
    return pictures


def _exists(source: str) -> bool:
    """Return True if there is a file, or frames that a pattern names."""
    if not is_pattern(Path(source)):
        return Path(source).exists()
    try:
        return bool(find_pictures(Path(source)))
    except VideoError:
        return False


def read_pairs(path: Path) -> list[Pair]:
    """Read pairs from a CSV file with columns `content`, `style`, other roles and options.

    Commas, semicolons or tabs separate the columns, in UTF-8 or UTF-16, as spreadsheets write them in different
    countries. Paths are relative to the file. Raises `InputError`.
    """
    try:
        rows = _read_table(path)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8. Save it as CSV in UTF-8.") from error
    except (OSError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV: {error}. Its first line must be: content,style") from error
    pairs: list[Pair] = []
    for number, row in enumerate(rows, start=2):
        if None in row:
            raise InputError(f"{path}, line {number}: more values than the header has names. Quote values with commas.")
        row = {name.strip().replace("-", "_"): value.strip() for name, value in row.items() if value}
        if "content" not in row or "style" not in row:
            raise InputError(f"{path}, line {number}: content or style is missing. The header must be: content,style")
        for name in row:
            if name in ("content", "style") or _is_picture(name, row[name]):
                row[name] = _relative_to(path, row[name])
        pairs.append((row.pop("content"), row.pop("style"), row))
    if not pairs:
        raise InputError(f"{path} has no pairs. Write one on each line below: content,style")
    return pairs


def _read_table(path: Path) -> list[dict[Any, Any]]:
    """Return the rows of a CSV file by the names in its header."""
    data = path.read_bytes()
    text = data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    header = text.partition("\n")[0]
    separator = max(SEPARATORS, key=header.count)  # the first one where none is found
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=separator))


def _is_picture(name: str, value: str | None) -> bool:
    return bool(EXTRA_ROLES.fullmatch(name)) and not (name == "init" and (is_named_start(value) or value == "image"))


def _relative_to(path: Path, name: str) -> str:
    return name if name.startswith(SAMPLE) else str(path.parent / name)


Configured = tuple[dict[str, str], Config, VideoOptions | None]
"""Sources, options, and those of a clip."""


def configure_items(
    pairs: Iterable[Pair], options: Mapping[str, Any], sweep: Mapping[str, Sequence[Any]]
) -> Iterator[Configured]:
    """Yield the sources and options of each pair, once for every combination of swept values.

    A pair's own options override `options`; swept values override both. Options of clips mean nothing to pictures,
    except that a photo with `seconds` becomes a clip. Raises `ConfigError`.
    """
    for content, style, own in pairs:
        for values in itertools.product(*sweep.values()):
            swept = dict(zip(sweep, values, strict=True))
            sources, chosen = split_options(content, style, {**options, **own, **swept})
            video = VideoOptions.take(chosen)
            paints_clip = is_clip(content) or video.seconds is not None
            yield sources, Config(**chosen), video if paints_clip else None


def split_options(content: str, style: str, options: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Split a pair's options into sources by role and options of `Config`.

    In a source, {content} and {style} stand for the names of the pair's pictures. Raises `ConfigError`.
    """
    names = {"content": _stem(content), "style": _stem(style)}
    sources, rest = {"content": content, "style": style}, dict(options)
    for role in options:
        if not _is_picture(role, options[role]):
            continue
        source = str(rest.pop(role))
        try:
            sources[role] = source.format(**names)
        except (KeyError, ValueError, IndexError, AttributeError):
            raise ConfigError(
                f"{source!r} has braces that are neither {{content}} nor {{style}}, the names of a pair's pictures. "
                "Double a brace that is part of a file name."
            ) from None
        if role == "init":
            rest["init"] = "image"
    kinds = [*KINDS, "weights"]
    order = sorted(sources, key=lambda role: (kinds.index(kind_of(role)), role))
    return {role: sources[role] for role in order}, rest


def check_shared_inputs(items: Sequence[BatchItem]) -> None:
    """Raise an error for an extra input that would fail every item that uses it.

    Such as a mask of which no file exists. If only some files are missing, their items fail later, one by one.
    Raises `InputError`, `ImageError`, `WeightsError`.
    """
    for role in dict.fromkeys(role for item in items for role in item.sources if EXTRA_ROLES.fullmatch(role)):
        users = [item for item in items if role in item.sources]
        sources = list(dict.fromkeys(item.sources[role] for item in users))
        if any(source.startswith(SAMPLE) for source in sources):
            continue
        if not any(map(_exists, sources)):
            others = f", nor any of the {len(sources) - 1} others" if len(sources) > 1 else ""
            raise InputError(f"{role.replace('_', ' ')}: there is no file {sources[0]}{others}. Check the path.")
        if len(sources) > 1 or len(users) < len(items):
            continue
        if role != "weights" and not is_clip(sources[0]):
            images.open_image(Path(sources[0]))
        for network in {item.config.network for item in users} if role == "weights" else ():
            load(network, Path(sources[0]))


def name_items(
    runs: Iterable[Configured], folder: Path, pattern: str = "", swept: Sequence[str] = ()
) -> list[BatchItem]:
    """Name pictures by a pattern with {content}, {style}, {number} and options like {alpha}.

    Other roles have names too, such as {protect}. The default pattern is the pair and the `swept` options; the suffix
    of clips is then .mp4. Raises
    `ConfigError` for an unknown name in braces, and for two pictures of one name.
    """
    default = "_".join(["{content}", "{style}", *(f"{name}{{{name}}}" for name in swept)])
    items: dict[Path, BatchItem] = {}
    for number, (sources, config, video) in enumerate(runs, start=1):
        options = config.model_dump(mode="json") | (video.model_dump(mode="json") if video is not None else {})
        names = {name: _short(value) for name, value in options.items()}
        names |= {role: _stem(source)[:80] for role, source in sources.items()} | {"number": f"{number:05d}"}
        try:
            name = (pattern or default + (".png" if video is None else CLIP_SUFFIX)).format(**names)
        except (KeyError, ValueError, IndexError, AttributeError) as error:
            known = "{content}, {style}, {number}, or an option such as {alpha}"
            raise ConfigError(f"{pattern!r} cannot name pictures: {error}. Use {known}.") from None
        item = BatchItem(sources, config, video=video, output=folder / re.sub(r"[^\w.+-]", "_", name).lstrip(".-"))
        other = items.setdefault(item.output, item)
        if other != item:  # the same item twice is fine
            raise ConfigError(
                f"Two pictures would be named {item.output.name}: {_pair(other)}, and {_pair(item)}. Tell them apart "
                f"with --names, such as {{number}}_{pattern or default}"
            )
    return list(items.values())


def _pair(item: BatchItem) -> str:
    return f"{item.sources['content']} with {item.sources['style']}"


def _short(value: Any) -> str:
    if value is None:
        return "auto"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _stem(source: str) -> str:
    return Path(source.removeprefix(SAMPLE)).stem
