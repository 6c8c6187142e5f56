"""Torch's global state: what Impasto relies on is set while it computes, and restored afterwards.

A caller may work inside `torch.inference_mode()` or autocast, with another default type or device, or with another
number of threads. Without this module, such a call would fail, or paint other pixels.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch

from impasto.engine.allocation import planned_memory
from impasto.errors import ForkError

__all__ = ["tf32_convolutions", "torch_state"]


class _Fork:
    """Records whether threads of torch were lost: a forked process has none of its parent's, and waits for them."""

    has_computed = False
    lost_threads = False

    @classmethod
    def enter_child(cls) -> None:
        cls.lost_threads = cls.has_computed


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Fork.enter_child)


@contextlib.contextmanager
def torch_state(threads: int | None = None, planned_bytes: float = 0) -> Iterator[None]:
    """Compute in full float32 by default, on the CPU by default, with gradients, without autocast, and on `threads`.

    A card computes the same bits each time. `None` keeps the number of threads. A process that holds less memory than
    planned keeps what is freed. Raises `ForkError` in a process that
    was forked from one that has computed.
    """
    if _Fork.lost_threads:
        raise ForkError(
            "This process was forked from one that has already computed with torch, whose threads it lacks. Start "
            "processes by spawning: multiprocessing.get_context('spawn')."
        )
    before = torch.get_num_threads()
    _Fork.has_computed = _Fork.has_computed or max(before, threads or 0) > 1
    default_type = torch.get_default_dtype()
    with contextlib.ExitStack() as stack:
        stack.enter_context(planned_memory(planned_bytes))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for device in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        backends: Any = torch.backends
        cudnn, cuda, mkldnn = backends.cudnn, backends.cuda, backends.mkldnn
        for operation in (cudnn.conv, cuda.matmul, mkldnn.conv, mkldnn.matmul):  # cudnn convolves in TF32 by default
            stack.enter_context(_precision(operation, "ieee"))
        stack.callback(setattr, cudnn, "deterministic", cudnn.deterministic)
        cudnn.deterministic = True
        if default_type is not torch.float32:
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, default_type)
        stack.callback(_restore_threads, before)  # also if a plan sets another number
        if threads is not None and threads != before:
            torch.set_num_threads(threads)
        yield


@contextlib.contextmanager
def _precision(operation: Any, precision: str) -> Iterator[None]:
    before = operation.fp32_precision
    operation.fp32_precision = precision
    try:
        yield
    finally:
        operation.fp32_precision = before


def tf32_convolutions() -> contextlib.AbstractContextManager[None]:
    """Convolve float32 in TF32 on a card: with the range of float32, and three more bits than bfloat16."""
    cudnn: Any = torch.backends.cudnn
    return _precision(cudnn.conv, "tf32")


def _restore_threads(threads: int) -> None:
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
