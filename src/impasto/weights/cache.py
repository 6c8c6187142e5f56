"""Files of decoded weights, in the cache or for another machine: written atomically, used only with the right hash."""

from __future__ import annotations

import tempfile
from pathlib import Path

import safetensors
from safetensors.torch import save_file

from impasto.core.encoder import Weights
from impasto.errors import OutputError, WeightsError
from impasto.files import atomic_write, user_cache_folder
from impasto.weights.decoding import as_tensors
from impasto.weights.heads import Heads, heads_as_tensors

__all__ = [
    "cache_folder",
    "cached_path",
    "create_cache_folder",
    "file_name",
    "recorded_sha256",
    "recorded_source",
    "write_cache",
    "write_file",
]


def cache_folder() -> Path:
    """Return the folder of weights in the cache of this user."""
    return user_cache_folder() / "weights"


def cached_path(name: str) -> Path:
    """Return the path of the cached file of these weights."""
    return cache_folder() / file_name(name)


def file_name(name: str) -> str:
    """Return the name of the file of these weights, here and in folders for other machines."""
    return f"{name.replace(':', '-')}.safetensors"


def create_cache_folder() -> Path:
    """Create the cache folder if it is missing. Raises `WeightsError` if nothing can be written there."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # permissions are not enough: a disk may be read-only
            pass
    except OSError as error:
        raise WeightsError(
            f"Weights cannot be cached in {folder}: {error.strerror}. Set IMPASTO_CACHE to a folder that you can write."
        ) from error
    return folder


def write_cache(name: str, decoded: Weights | Heads) -> None:
    """Write decoded numbers and their identity to the cache, atomically. Raises `WeightsError`."""
    create_cache_folder()
    write_file(cached_path(name), name, decoded)


def write_file(path: Path, name: str, decoded: Weights | Heads) -> None:
    """Write decoded numbers, their name and their identity to a file, atomically. Raises `WeightsError`."""
    tensors = as_tensors(decoded) if isinstance(decoded, Weights) else heads_as_tensors(decoded)
    try:
        with atomic_write(path) as temporary:
            save_file(tensors, temporary, metadata={"sha256": decoded.sha256, "source": name})
    except OutputError as error:
        raise WeightsError(str(error)) from error
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path} could not be written: {error}. Free some space.") from error


def recorded_sha256(path: Path) -> str | None:
    """Return the identity recorded in a file, or None if the file or the record is missing."""
    return _read_record(path).get("sha256")


def recorded_source(path: Path) -> str | None:
    """Return the name of the weights that Impasto wrote to a file, or None if the file is another one."""
    return _read_record(path).get("source")


def _read_record(path: Path) -> dict[str, str]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (OSError, safetensors.SafetensorError):
        return {}
