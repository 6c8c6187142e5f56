"""Compiled kernels, from the optional distribution `impasto-kernels`, on tensors of a CPU.

They are fused: a convolution by Winograd's algorithm keeps the transforms of some patches in the cache until their
output is written, and moments take one pass over the features. In PyTorch, each transform goes through memory. In
bfloat16, products are rounded, while sums and transforms are float32: a convolution is then off by 9e-3 of its norm,
and by 3e-3 with oneDNN. In float32 it is off by 5e-7.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from impasto.core.statistics import Moments

__all__ = ["CHANNELS", "CompiledConvolution", "Kernels", "best_set", "describe_kernels", "load_kernels"]

logger = logging.getLogger("impasto")

INTERFACE = 1
"""The interface of the distribution that this module knows."""

CHANNELS = 64
"""Numbers of channels that kernels take are multiples of this one."""


class Kernels:
    """The kernels for features in one type, float32 or bfloat16: contiguous, channels-last, (1, C, h, w)."""

    def __init__(self, compiled: Any, dtype: torch.dtype) -> None:
        self._compiled, self.dtype = compiled, dtype

    def pack(self, kernel: Tensor) -> Tensor:
        """Transform a kernel (O, I, 3, 3), and reorder it for `convolve`."""
        outputs, inputs = kernel.shape[:2]
        kernel = kernel.float().contiguous()
        packed = torch.empty((36, inputs, outputs), dtype=self.dtype)
        self._compiled.pack(kernel.data_ptr(), packed.data_ptr(), inputs, outputs)
        return packed

    def convolve(self, x: Tensor, packed: Tensor, bias: Tensor | None, *, rectify: bool) -> Tensor:
        """Convolve features with a packed kernel, -> (1, O, h, w)."""
        _, inputs, height, width = x.shape
        outputs = packed.shape[2]
        # Four dimensions: pooling in PyTorch copies a channels-last tensor whose batch stride is not h · w · C.
        out = torch.empty((1, height, width, outputs), dtype=x.dtype)
        self._compiled.convolve(
            x.data_ptr(), packed.data_ptr(), 0 if bias is None else bias.data_ptr(), out.data_ptr(),
            height, width, inputs, outputs, relu=rectify,
        )  # fmt: skip
        return out.permute(0, 3, 1, 2)

    def max_pool(self, x: Tensor) -> Tensor:
        """Take the maximum of each 2×2 positions."""
        _, channels, height, width = x.shape
        out = torch.empty((1, height // 2, width // 2, channels), dtype=x.dtype)
        self._compiled.pool(x.data_ptr(), out.data_ptr(), height, width, channels)
        return out.permute(0, 3, 1, 2)

    def max_pool_backward(self, gradient: Tensor, x: Tensor) -> Tensor:
        """Give the gradient of each 2×2 positions to the first that is their maximum."""
        _, channels, height, width = x.shape
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        out = torch.empty((1, height, width, channels), dtype=x.dtype)
        self._compiled.pool_backward(x.data_ptr(), gradient.data_ptr(), out.data_ptr(), height, width, channels)
        return out.permute(0, 3, 1, 2)

    def moments(self, features: Tensor) -> Moments:
        """Compute moments in float32."""
        channels, count = features.shape[1], features.shape[2] * features.shape[3]
        total, outer = torch.zeros(channels), torch.zeros(channels, channels)
        self._compiled.add_moments(features.data_ptr(), count, channels, total.data_ptr(), outer.data_ptr())
        return Moments(count, total, outer)

    def add_products(self, total: Tensor, features: Tensor, matrix: Tensor, vector: Tensor | None) -> None:
        """Add matrix · features + vector to `total`, with a symmetric matrix (C, C) and a vector (C)."""
        channels, count = features.shape[1], features.shape[2] * features.shape[3]
        matrix, vector = matrix.float().contiguous(), None if vector is None else vector.float().contiguous()
        self._compiled.add_products(
            total.data_ptr(), features.data_ptr(), matrix.data_ptr(), 0 if vector is None else vector.data_ptr(),
            count, channels,
        )  # fmt: skip

    def content_error(self, features: Tensor, target: Tensor) -> Tensor:
        """Compute the mean squared and mean absolute difference from a target in float32, -> (2,)."""
        sums = self._compiled.measure_difference(features.data_ptr(), target.data_ptr(), features.numel())
        return torch.tensor(sums, dtype=torch.float64).div_(features.numel()).float()

    def add_content_gradient(self, total: Tensor, features: Tensor, target: Tensor, by_error: Tensor) -> None:
        """Add the gradient of `content_error`, given that by its result (2), to `total`."""
        by_square, by_absolute = (by_error / features.numel()).tolist()
        self._compiled.add_difference(
            total.data_ptr(), features.data_ptr(), target.data_ptr(), features.numel(), by_square, by_absolute
        )


class CompiledConvolution:
    """A convolution of stride 1 and zero padding 1: (1, I, h, w) -> (1, O, h, w), in the type of the kernels."""

    def __init__(self, kernels: Kernels, kernel: Tensor, bias: Tensor | None) -> None:
        self._kernels, self._packed = kernels, kernels.pack(kernel)
        self._bias = None if bias is None else bias.float().contiguous()

    def __call__(self, x: Tensor, *, rectify: bool = False) -> Tensor:
        """Convolve `x` into a new tensor, and apply ReLU with `rectify`."""
        x = x.contiguous(memory_format=torch.channels_last)
        return self._kernels.convolve(x, self._packed, self._bias, rectify=rectify)


@cache
def load_kernels(name: str, dtype: torch.dtype) -> Kernels | None:
    """Return the kernels of an instruction set for a type of features, or None if this machine has none."""
    if dtype not in (torch.float32, torch.bfloat16):
        return None
    start_team, is_half = _find_start_team(), dtype == torch.bfloat16
    try:
        compiled = _module().Kernels(name, bfloat16=is_half, threads=torch.get_num_threads, start_team=start_team)
    except (ImportError, OSError, ValueError) as error:
        logger.warning("Compiled kernels for %s are not used: %s", str(dtype).removeprefix("torch."), error)
        return None
    return Kernels(compiled, dtype)


@cache
def best_set() -> str | None:
    """Return the best instruction set that compiled kernels have for this processor, or None if there are none."""
    try:
        name: str = _module().best_set()
    except (ImportError, OSError) as error:
        logger.info("No compiled kernels (pip install impasto-kernels): %s", error)
        return None
    return name


def describe_kernels() -> str | None:
    """Return the instruction set and the version of the compiled kernels, or None if there are none."""
    name = best_set()
    return None if name is None else f"{name} {_module().__version__}"


def _module() -> Any:
    """Import the distribution. Raises `ImportError` if it is missing, or made for another version of Impasto."""
    module = importlib.import_module("impasto_kernels")
    if getattr(module, "INTERFACE", None) != INTERFACE:
        raise ImportError(f"impasto-kernels {module.__version__} is for another version of Impasto. Update both.")
    return module


def _find_start_team() -> int:
    """Return the address of the function that starts threads in the OpenMP runtime of torch; 0: unknown."""
    for library in Path(torch.__file__).parent.joinpath("lib").glob("libgomp*"):
        start = getattr(ctypes.CDLL(str(library)), "GOMP_parallel", None)
        if start is not None:
            return ctypes.cast(start, ctypes.c_void_p).value or 0
    return 0
