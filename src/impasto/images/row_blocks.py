"""A few rows at a time: what works through images so needs no more memory than a strip of them."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from impasto.core.tensor_store import TensorStore

__all__ = ["iter_row_blocks"]

STRIP = 1 << 20
"""Pixels."""


def iter_row_blocks(store: TensorStore, *images: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same rows of several images (1, C, H, W) of one size, a strip at a time."""
    height, width = images[0].shape[2:]
    step = max(1, STRIP // width)
    for top in range(0, height, step):
        yield tuple(image[:, :, top : top + step] for image in images)
        store.release(*images)
