"""The folder that decoded tensors are kept in: written atomically, believed only if their hash is right."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import platformdirs
import safetensors
from safetensors.torch import save_file
from torch import Tensor

from impasto.errors import WeightsError

__all__ = ["cache_folder", "keep", "recorded_sha256", "writable_cache"]


def cache_folder() -> Path:
    """`$IMPASTO_CACHE`, or the user's cache folder of this system."""
    chosen = os.environ.get("IMPASTO_CACHE")
    try:
        return (Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("impasto")) / "weights"
    except RuntimeError:  # no home: a place that may vanish is better than none
        return Path(tempfile.gettempdir()) / "impasto" / "weights"


def writable_cache() -> Path:
    """The folder, made if it was not there. Raises `WeightsError` if nothing can be written there."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # asking for permission is not enough: a disk may be read-only
            pass
    except OSError as error:
        raise WeightsError(
            f"No place to keep weights: {folder}: {error.strerror}. Set IMPASTO_CACHE to a folder of yours."
        ) from error
    return folder


def keep(path: Path, tensors: dict[str, Tensor], *, sha256: str, source: str) -> None:
    """Write tensors and their identity to `path` in the cache, at once or not at all. Raises `WeightsError`."""
    folder, temporary = writable_cache(), None
    try:
        handle, temporary = tempfile.mkstemp(prefix=path.name, suffix=".part", dir=folder)
        os.close(handle)
        save_file(tensors, temporary, metadata={"sha256": sha256, "source": source})
        os.replace(temporary, path)
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{path} could not be written: {error}. Free some space.") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def recorded_sha256(path: Path) -> str | None:
    """The identity that was written beside the tensors; None if there is no such file, or none in it."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("sha256")
    except (OSError, safetensors.SafetensorError):
        return None
