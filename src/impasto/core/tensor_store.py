"""Where the long vectors of a run are kept, and arithmetic on them a piece at a time.

A picture of 64 megapixels is 768 MB of float32, and descent needs tens of such vectors. A `TensorStore` makes
them, in memory or on disk; nothing else knows which. What works through them in pieces, and releases
each piece, needs no more memory than a piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

__all__ = [
    "RamStore",
    "TensorStore",
    "clamp_unit",
    "clone",
    "dot",
    "is_finite",
    "iter_chunks",
    "rms",
    "scale",
    "weighted_sum",
    "zeros",
]

CHUNK = 1 << 22
"""Elements. A picture of 512 px is one piece."""


class TensorStore(Protocol):
    """A maker of large tensors."""

    def empty(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """An uninitialized contiguous tensor; its room is given back when nothing refers to it."""

    def release(self, *tensors: Tensor) -> None:
        """Say that these, or views of these, are not needed for a while. Their numbers stay."""


class RamStore:
    """A store that keeps everything in memory, or in that of a device."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = device

    def empty(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """An uninitialized tensor on the device."""
        return torch.empty(tuple(shape), dtype=dtype, device=self.device)

    def release(self, *tensors: Tensor) -> None:
        """Nothing: this is where they are."""


def iter_chunks(store: TensorStore, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same stretch of several contiguous tensors of one size, one stretch after another."""
    flat = [tensor.view(-1) for tensor in tensors]
    for start in range(0, flat[0].numel(), CHUNK):
        views = tuple(vector[start : start + CHUNK] for vector in flat)
        yield views
        store.release(*views)


def dot(store: TensorStore, a: Tensor, b: Tensor) -> float:
    """The inner product."""
    return sum(float(torch.dot(p, q)) for p, q in iter_chunks(store, a, b))


def rms(store: TensorStore, tensor: Tensor) -> float:
    """The root of the mean square."""
    return float((dot(store, tensor, tensor) / tensor.numel()) ** 0.5)


def weighted_sum(store: TensorStore, a: float, x: Tensor, b: float, y: Tensor) -> Tensor:
    """a·x + b·y, a new tensor."""
    total = store.empty(x.shape, x.dtype)
    for out, p, q in iter_chunks(store, total, x, y):
        torch.mul(p, a, out=out).add_(q, alpha=b)
    return total


def clone(store: TensorStore, tensor: Tensor) -> Tensor:
    """The same numbers in a new tensor of this store."""
    copy = store.empty(tensor.shape, tensor.dtype)
    for out, p in iter_chunks(store, copy, tensor.contiguous()):
        out.copy_(p)
    return copy


def zeros(store: TensorStore, like: Tensor) -> Tensor:
    """A new tensor of that shape, of zeros."""
    empty = store.empty(like.shape, like.dtype)
    for (piece,) in iter_chunks(store, empty):
        piece.zero_()
    return empty


def clamp_unit(store: TensorStore, image: Tensor) -> Tensor:
    """The same image within [0, 1], a new tensor."""
    inside = store.empty(image.shape, image.dtype)
    for out, p in iter_chunks(store, inside, image):
        torch.clamp(p, 0, 1, out=out)
    return inside


def scale(store: TensorStore, vector: Tensor, factor: float) -> None:
    """Multiply in place."""
    for (piece,) in iter_chunks(store, vector):
        piece.mul_(factor)


def is_finite(store: TensorStore, tensor: Tensor) -> bool:
    """Whether there is neither NaN nor infinity."""
    return all(bool(torch.isfinite(piece).all()) for (piece,) in iter_chunks(store, tensor))
