"""3×3 convolutions with a quarter of the multiplications: F(4×4, 3×3) of Lavin & Gray 2015 (1509.09308).

oneDNN has no such convolution on x86. The output is computed in patches of 4×4, a few rows of patches at a time, so
that these stay in the cache: the transforms are bound by memory. On two cores, 512 channels take 33 ms instead of
82, 256 take 45 instead of 82, 128 take 57 instead of 97, and 64 gain nothing (benchmarks/step.py).

    output patch = Aᵀ [ (G kernel Gᵀ) ⊙ (Bᵀ input patch B) ] A

Each transform is a single matrix product, with B ⊗ B or A ⊗ A. In float32 the result is off by 1e-6 of its norm, as
that of the direct convolution is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from impasto.config.networks import Layer

__all__ = ["Winograd", "Workspace", "uses_winograd"]

CHUNK = 1 << 16
"""Patches times channels that are transformed at a time: 9 MB of float32."""

A, B = 0.75, 1.5
"""Interpolation points: 0, ±A, ±B and infinity. Rounding errors are a third of those with 0, ±1, ±2, and half of them
where products are rounded to bfloat16. The compiled kernels have the same."""


def _transforms() -> tuple[Tensor, Tensor, Tensor]:
    """Return Bᵀ (6, 6), G (6, 3) and Aᵀ (4, 6), in float64 (Cook & Toom, as in 1509.09308)."""
    points, sums, product = (0.0, A, -A, B, -B), A**2 + B**2, (A * B) ** 2
    rows = [[product, 0, -sums, 0, 1, 0]]
    rows += [[0, -x * other**2, -(other**2), x, 1, 0] for x, other in ((A, B), (-A, B), (B, A), (-B, A))]
    rows += [[0, product, 0, -sums, 0, 1]]
    divisors = [math.prod(x - other for other in points if other != x) for x in points]
    kernel = [[x**power / divisor for power in range(3)] for x, divisor in zip(points, divisors, strict=True)]
    output = [[x**power for x in points] + [float(power == 3)] for power in range(4)]
    matrices = rows, [*kernel, [0, 0, 1]], output
    bt, g, at = (torch.tensor(matrix, dtype=torch.float64) for matrix in matrices)
    return bt, g, at


BT, G, AT = _transforms()


def uses_winograd(layer: Layer, winograd_channels: int | None) -> bool:
    """Return True if a layer is a 3×3 convolution with at least this many channels; None: never."""
    plain = (layer.kernel, layer.stride, layer.padding) == (3, 1, 1)
    return plain and winograd_channels is not None and winograd_channels <= min(layer.inputs, layer.outputs)


class Workspace:
    """Buffers by name that are reused from call to call, so that loops allocate nothing."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return an uninitialized tensor, valid until the same name is taken again."""
        numel = math.prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < numel or buffer.dtype != dtype:
            buffer = self._buffers[name] = torch.empty(numel, dtype=dtype)
        return buffer[:numel].view(shape)


class Winograd:
    """A convolution of stride 1 and zero padding 1, with a kernel (O, I, 3, 3): (1, I, H, W) -> (1, O, H, W).

    Input and output are channels-last, in any precision; the computation is at least float32.
    """

    def __init__(self, kernel: Tensor, bias: Tensor | None, workspace: Workspace) -> None:
        dtype = torch.promote_types(kernel.dtype, torch.float32)
        self.outputs, self.inputs = kernel.shape[:2]
        transformed = torch.einsum("xi,yj,ocij->xyco", G, G, kernel.double())
        self.kernel = transformed.flatten(0, 1).to(dtype).contiguous()
        self.bias = bias.to(dtype) if bias is not None else None
        self.input_transform, self.output_transform = torch.kron(BT, BT).to(dtype), torch.kron(AT, AT).to(dtype)
        self.workspace = workspace

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve `x` into a new tensor."""
        _, _, height, width = x.shape
        # Allocated with four dimensions: every pool copies a channels-last tensor whose batch stride is not H·W·C.
        out = torch.empty((1, height, width, self.outputs), dtype=x.dtype)
        rows, result = x.permute(0, 2, 3, 1)[0], out[0]
        down, across = -(-height // 4), -(-width // 4)
        step = max(1, CHUNK // (across * self.inputs))
        for first in range(0, down, step):
            count = min(step, down - first)
            patches = self._patches(rows, first, count, across)
            top, bottom = 4 * first, min(height, 4 * (first + count))
            chunk = patches.view(4, 4, count, across, -1).permute(2, 0, 3, 1, 4)
            if bottom - top == 4 * count and width == 4 * across:
                result[top:bottom].view(count, 4, across, 4, -1).copy_(chunk)
            else:
                result[top:bottom] = chunk.reshape(4 * count, 4 * across, -1)[: bottom - top, :width]
        return out.permute(0, 3, 1, 2)

    def _patches(self, rows: Tensor, first: int, count: int, across: int) -> Tensor:
        """Compute `count` rows of output patches from row `first` on, -> (16, count * across, O)."""
        height, width, inputs = rows.shape
        dtype, patches = self.kernel.dtype, count * across
        # Each patch depends on six rows and columns: its own four and one more on each side.
        tall, wide = 4 * count + 2, 4 * across + 2
        padded = self.workspace.take("padded", (tall, wide, inputs), dtype)
        above, below = max(4 * first - 1, 0), min(4 * (first + count) + 1, height)
        head = above - (4 * first - 1)
        padded[:head].zero_()
        padded[head + below - above :].zero_()
        padded[:, 0].zero_()
        padded[:, width + 1 :].zero_()
        padded[head : head + below - above, 1 : width + 1] = rows[above:below]
        windows = padded.as_strided(
            (6, 6, count, across, inputs), (wide * inputs, inputs, 4 * wide * inputs, 4 * inputs, 1)
        )
        gathered = self.workspace.take("gathered", (36, patches * inputs), dtype)
        gathered.view(6, 6, count, across, inputs).copy_(windows)
        transformed = self.workspace.take("transformed", (36, patches * inputs), dtype)
        torch.mm(self.input_transform, gathered, out=transformed)
        products = self.workspace.take("products", (36, patches, self.outputs), dtype)
        torch.bmm(transformed.view(36, patches, inputs), self.kernel, out=products)
        outputs = self.workspace.take("outputs", (16, patches * self.outputs), dtype)
        torch.mm(self.output_transform, products.view(36, -1), out=outputs)
        result = outputs.view(16, patches, self.outputs)
        return result if self.bias is None else result.add_(self.bias)
