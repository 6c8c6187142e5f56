"""A store on disk: tensors live in memory-mapped files, so that memory holds only the chunk in use.

The files are unlinked, so nothing stays behind even after a crash. Their space is allocated at once, so that a full
disk is an error when a tensor is made, not a crash in the middle of a step.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from impasto.errors import OutputError
from impasto.files import require_room

__all__ = ["DiskStore"]


class DiskStore:
    """A store in unlinked files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._maps: dict[int, weakref.ref[mmap.mmap]] = {}

    def require(self, size: float) -> None:
        """Raise `OutputError` if `size` bytes do not fit on the disk."""
        advice = f"Free some space in {self.folder}, raise --memory, or set IMPASTO_CACHE to another disk."
        require_room(self.folder, size, "This run needs", advice)

    def empty(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Allocate an uninitialized tensor in a file. Raises `OutputError` if the disk is full."""
        size = max(1, math.prod(shape) * dtype.itemsize)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder) as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                else:  # macOS and Windows reserve nothing here: `require` is the only check
                    file.truncate(size)
                mapped = mmap.mmap(file.fileno(), size)
        except OSError as error:
            raise OutputError(
                f"Allocating {size / 1e9:.1f} GB in {self.folder} failed: {error.strerror}. Free some space, raise "
                "--memory, or set IMPASTO_CACHE to another disk."
            ) from error
        tensor = torch.frombuffer(mapped, dtype=dtype, count=math.prod(shape)).view(tuple(shape))
        self._maps[tensor.data_ptr()] = weakref.ref(mapped)
        return tensor

    def release(self, *tensors: Tensor) -> None:
        """Give the memory of these tensors or views back to the system; the file keeps their values."""
        if not hasattr(mmap, "MADV_DONTNEED"):  # Windows reclaims pages by itself
            return
        for tensor in tensors:
            first = tensor.data_ptr()
            last = first + _extent(tensor)
            for base, reference in list(self._maps.items()):
                mapped = reference()
                if mapped is None:
                    del self._maps[base]
                elif base <= first < base + len(mapped):
                    # Whole pages: values of a neighbor on the same page are read again from the file.
                    start = (first - base) // mmap.PAGESIZE * mmap.PAGESIZE
                    mapped.madvise(mmap.MADV_DONTNEED, start, min(last - base, len(mapped)) - start)


def _extent(tensor: Tensor) -> int:
    """Return the bytes from a tensor's first value to its last."""
    if tensor.numel() == 0:
        return 0
    return (sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True)) + 1) * tensor.itemsize
