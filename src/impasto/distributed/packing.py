"""Objects that hold tensors, as bytes.

A tensor is stored by its values in memory order: a view without the rest of its storage. The copy has the same memory
layout, because sums depend on it.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import torch
from torch import Tensor

__all__ = ["pack", "unpack"]


def pack(value: Any) -> bytes:
    """Return an object as bytes."""
    file = io.BytesIO()
    _Packer(file, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return file.getvalue()


def unpack(data: bytes, device: str) -> Any:
    """Return a packed object, with its tensors on a device."""
    return _Unpacker(io.BytesIO(data), device).load()


class _Packer(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return None
        order = sorted(range(value.dim()), key=lambda dim: -value.stride()[dim])
        return value.detach().cpu().permute(order).contiguous().numpy(), order


class _Unpacker(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, device: str) -> None:
        super().__init__(file)
        self.device = device

    def persistent_load(self, packed: Any) -> Tensor:
        array, order = packed
        # Copied, because convolutions are faster on memory that torch has aligned.
        values = torch.from_numpy(array).clone().to(self.device)
        return values.permute([order.index(dim) for dim in range(len(order))])
