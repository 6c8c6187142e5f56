"""The folder of decoded weights: files are written atomically, and used only if their hash is right."""

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

__all__ = ["cache_folder", "cached_path", "create_cache_folder", "recorded_sha256", "write_cache"]


def cache_folder() -> Path:
    """Return the folder of weights in the cache of this user."""
    return user_cache_folder() / "weights"


def cached_path(name: str) -> Path:
    """Return the path of the cached file of these weights."""
    return cache_folder() / f"{name.replace(':', '-')}.safetensors"


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
    path = cached_path(name)
    tensors = as_tensors(decoded) if isinstance(decoded, Weights) else heads_as_tensors(decoded)
    try:
        with atomic_write(path) as temporary:
            save_file(tensors, temporary, metadata={"sha256": decoded.sha256, "source": name})
    except OutputError as error:
        raise WeightsError(str(error)) from error
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path} could not be written: {error}. Free some space.") from error


def recorded_sha256(path: Path) -> str | None:
    """Return the identity recorded in a cached file, or None if the file or the record is missing."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("sha256")
    except (OSError, safetensors.SafetensorError):
        return None
