"""Iteration over blocks of rows, to bound the memory of work on whole images."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from impasto.core.tensor_store import TensorStore

__all__ = ["iter_row_blocks"]

BLOCK_PX = 1 << 20
"""Pixels in a block."""


def iter_row_blocks(store: TensorStore, *images: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield the same rows of several images (1, C, H, W) of one size, block by block, as views."""
    height, width = images[0].shape[2:]
    step = max(1, BLOCK_PX // width)
    for top in range(0, height, step):
        yield tuple(image[:, :, top : top + step] for image in images)
        store.release(*images)
