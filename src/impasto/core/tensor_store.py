"""Storage for the large tensors of a run, and arithmetic on them in chunks.

An image of 64 megapixels is 768 MB of float32, and descent needs tens of such tensors. A `TensorStore` allocates
them, in memory or on disk. The functions here work in chunks and release each one, so that their memory does not
grow with the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

__all__ = [
    "RamStore",
    "Scalar",
    "TensorStore",
    "add_scaled",
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
"""Elements. An image of 512 px is one chunk."""


class TensorStore(Protocol):
    """An allocator of large tensors."""

    def empty(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Allocate an uninitialized contiguous tensor, freed with its last reference."""

    def release(self, *tensors: Tensor) -> None:
        """Mark these tensors or views as unused for now. Their values stay."""


class RamStore:
    """A store in memory, or in the memory of a device."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = device

    def empty(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Allocate an uninitialized tensor on the device."""
        return torch.empty(tuple(shape), dtype=dtype, device=self.device)

    def release(self, *tensors: Tensor) -> None:
        """Do nothing: memory is where these tensors live."""


def iter_chunks(store: TensorStore, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield matching chunks of contiguous tensors of one size, as flat views."""
    flat = [tensor.view(-1) for tensor in tensors]
    for start in range(0, flat[0].numel(), CHUNK):
        views = tuple(vector[start : start + CHUNK] for vector in flat)
        yield views
        store.release(*views)


Scalar = float | Tensor
"""A number, or a tensor with one on a card: reading it would make the program wait for the card."""


def dot(store: TensorStore, a: Tensor, b: Tensor) -> Scalar:
    """Compute the inner product."""
    products = (torch.dot(p, q) for p, q in iter_chunks(store, a, b))
    return sum(map(float, products)) if a.device.type == "cpu" else torch.stack([*products]).sum()


def rms(store: TensorStore, tensor: Tensor) -> float:
    """Compute the root mean square."""
    return float((dot(store, tensor, tensor) / tensor.numel()) ** 0.5)


def weighted_sum(store: TensorStore, a: float, x: Tensor, b: float, y: Tensor) -> Tensor:
    """Compute a·x + b·y in a new tensor."""
    total = store.empty(x.shape, x.dtype)
    for out, p, q in iter_chunks(store, total, x, y):
        torch.mul(p, a, out=out).add_(q, alpha=b)
    return total


def add_scaled(store: TensorStore, total: Tensor, factor: Scalar, vector: Tensor) -> None:
    """Add factor · vector to `total` in place."""
    for out, v in iter_chunks(store, total, vector):
        if isinstance(factor, Tensor):
            out.addcmul_(v, factor)
        else:
            out.add_(v, alpha=factor)


def clone(store: TensorStore, tensor: Tensor) -> Tensor:
    """Copy a tensor into the store."""
    copy = store.empty(tensor.shape, tensor.dtype)
    for out, p in iter_chunks(store, copy, tensor.contiguous()):
        out.copy_(p)
    return copy


def zeros(store: TensorStore, like: Tensor) -> Tensor:
    """Allocate a tensor of zeros of the same shape."""
    empty = store.empty(like.shape, like.dtype)
    for (chunk,) in iter_chunks(store, empty):
        chunk.zero_()
    return empty


def clamp_unit(store: TensorStore, image: Tensor) -> Tensor:
    """Clamp an image to [0, 1] in a new tensor."""
    clamped = store.empty(image.shape, image.dtype)
    for out, p in iter_chunks(store, clamped, image):
        torch.clamp(p, 0, 1, out=out)
    return clamped


def scale(store: TensorStore, vector: Tensor, factor: Scalar) -> None:
    """Multiply in place."""
    for (chunk,) in iter_chunks(store, vector):
        chunk.mul_(factor)


def is_finite(store: TensorStore, tensor: Tensor) -> bool:
    """Return True if a tensor has neither NaN nor infinity."""
    return all(bool(torch.isfinite(chunk).all()) for (chunk,) in iter_chunks(store, tensor))
