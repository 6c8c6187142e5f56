"""A stand-in for a graphics card: tensors that claim to be on one, and are computed on the CPU.

Operations on tensors of two devices raise here as they do on a card, so that the code for one can be tested without.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from impasto.config import Config
from impasto.core.encoder import Encoder
from impasto.engine import planning
from impasto.engine.timing import ConvolutionChoice, Precision
from impasto.run.model_cache import ModelCache

__all__ = ["stand_in_card"]

CARD = torch.device("meta")
"""Builds of torch for the CPU refuse tensors that claim to be on `cuda`; `meta` is the device that needs no support."""


INDEXING = (torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default)


class _CardTensor(torch.Tensor):
    """A tensor that claims to be on the card, and holds its values on the CPU."""

    on_cpu: torch.Tensor

    @staticmethod
    def __new__(cls, values: torch.Tensor) -> _CardTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=CARD,
        )
        made.on_cpu = values
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _compute(func, args, kwargs or {})


class _Reading(TorchFunctionMode):
    """Reads values where torch does not let a tensor claim another device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.Tensor.tolist and isinstance(args[0], _CardTensor):
            return args[0].on_cpu.tolist()
        if func is torch.tensor and torch.device(kwargs.get("device") or "cpu") == CARD:
            return func(*args, **kwargs | {"device": "cpu"}).to(CARD)
        return func(*args, **kwargs)


class _Card(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


def _compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operation on the CPU; its result is on the card if an argument is, or if it was asked for there."""
    tensors: list[torch.Tensor] = []
    _map_tensors(tensors.append, (*args, *kwargs.values()))
    on_card = any(isinstance(tensor, _CardTensor) for tensor in tensors)
    device = kwargs.get("device")
    is_copy = func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
    if on_card and not is_copy and func not in INDEXING:
        # As on a card, only numbers and indices may come from the CPU.
        for tensor in tensors:
            if not isinstance(tensor, _CardTensor) and tensor.ndim:
                raise RuntimeError(f"{func}: tensors on the CPU and on the card")
    if func is torch.ops.aten.copy_.default:
        args[0].on_cpu.copy_(_unwrap(args[1])) if isinstance(args[0], _CardTensor) else args[0].copy_(_unwrap(args[1]))
        return args[0]
    if device is not None:
        on_card = torch.device(device) == CARD
        kwargs = kwargs | {"device": torch.device("cpu")}
    unwrapped = {name: _map_tensors(_unwrap, value) for name, value in kwargs.items()}
    results = func(*_map_tensors(_unwrap, args), **unwrapped)
    known = {id(tensor.on_cpu): tensor for tensor in tensors if isinstance(tensor, _CardTensor)}

    def wrap(value: torch.Tensor) -> torch.Tensor:
        if id(value) in known:
            return known[id(value)]
        return _CardTensor(value) if on_card else value

    return _map_tensors(wrap, results)


def _map_tensors(change: Callable[[torch.Tensor], Any], value: Any) -> Any:
    """Apply a function to the tensors among arguments or results. `tree_map` of torch takes several times as long."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)([_map_tensors(change, item) for item in value])
    return value


def _unwrap(value: torch.Tensor) -> torch.Tensor:
    return value.on_cpu if isinstance(value, _CardTensor) else value


@contextlib.contextmanager
def stand_in_card(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pretend that this machine has a card of 16 GB, whose fastest convolutions are in bfloat16."""
    load = ModelCache.encoder

    def encoder(cache: ModelCache, config: Config, weights: Any, device: str) -> Encoder:
        return load(cache, config, weights, "meta" if device == "cuda" else device)

    patch.setattr(ModelCache, "encoder", encoder)
    patch.setattr(torch.cuda, "mem_get_info", lambda: (int(16e9), int(16e9)))
    for name in ("memory_reserved", "memory_allocated", "empty_cache"):
        patch.setattr(torch.cuda, name, lambda: 0)
    patch.setattr(planning, "_devices", lambda: {"cuda": True, "mps": False, "cpu": True})

    def choose(_device: str, precision: Precision | None, _threads: int) -> ConvolutionChoice:
        return ConvolutionChoice(precision or "bfloat16", None, None)

    patch.setattr(planning, "_choose_once", choose)
    with _Card(), _Reading():  # type: ignore[no-untyped-call]
        yield
