"""3×3 convolutions with a quarter of the multiplications: F(4×4, 3×3) of Lavin & Gray 2015 (1509.09308).

oneDNN has no such convolution on x86. Tiles are taken in strips small enough to stay in the cache,
because the transforms are bound by memory: on two cores, 512 channels take 33 ms in place of 82, 256
take 45 in place of 82, 128 take 57 in place of 97, and 64 gain nothing (benchmarks/step.py).

    output tile = Aᵀ [ (G kernel Gᵀ) ⊙ (Bᵀ input tile B) ] A

Both transforms are written as one product each, with B ⊗ B and A ⊗ A. In float32 the result is off by
3e-6 of its norm, where the direct convolution is off by 1e-6.
"""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.config.networks import Layer

__all__ = ["Winograd", "Workspace", "uses_winograd"]

STRIP = 1 << 16
"""Tiles times channels that are transformed at a time: 9 MB of float32."""

BT = torch.tensor(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=torch.float64,
)
G = torch.tensor(
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], dtype=torch.float64
) / torch.tensor([24.0])
AT = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=torch.float64
)


def uses_winograd(layer: Layer, channels: int) -> bool:
    """Whether a layer's convolution is done this way, where those of `channels` and more are; 0: none."""
    plain = (layer.kernel, layer.stride, layer.padding) == (3, 1, 1)
    return plain and 0 < channels <= min(layer.inputs, layer.outputs)


class Workspace:
    """Buffers by name that are used again from call to call, so that nothing is allocated in a loop."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """An uninitialized tensor, valid until the same name is taken again."""
        numel = 1
        for side in shape:
            numel *= side
        held = self._buffers.get(name)
        if held is None or held.numel() < numel or held.dtype != dtype:
            held = self._buffers[name] = torch.empty(numel, dtype=dtype)
        return held[:numel].view(shape)


class Winograd:
    """One convolution of stride 1 and zero padding 1, kernel (O, I, 3, 3) -> images (1, I, H, W) to (1, O, H, W).

    In and out are channels-last, of any precision; inside it is at least float32.
    """

    def __init__(self, kernel: Tensor, bias: Tensor | None, workspace: Workspace) -> None:
        dtype = torch.promote_types(kernel.dtype, torch.float32)
        self.outputs, self.inputs = kernel.shape[:2]
        wide = kernel.double()
        self.kernel = torch.einsum("xi,yj,ocij->xyco", G, G, wide).flatten(0, 1).to(dtype).contiguous()
        self.bias = bias.to(dtype) if bias is not None else None
        self.into, self.out_of = torch.kron(BT, BT).to(dtype), torch.kron(AT, AT).to(dtype)
        self.workspace = workspace

    def __call__(self, x: Tensor) -> Tensor:
        """The convolution of `x`, a new tensor."""
        _, _, height, width = x.shape
        # Made of four dimensions: a channels-last tensor whose batch stride is not H·W·C is copied by every pool.
        out = torch.empty((1, height, width, self.outputs), dtype=x.dtype)
        rows, written = x.permute(0, 2, 3, 1)[0], out[0]
        down, across = -(-height // 4), -(-width // 4)
        step = max(1, STRIP // (across * self.inputs))
        for first in range(0, down, step):
            count = min(step, down - first)
            tiles = self._tiles(rows, first, count, across)
            top, bottom = 4 * first, min(height, 4 * (first + count))
            strip = tiles.view(4, 4, count, across, -1).permute(2, 0, 3, 1, 4)
            if bottom - top == 4 * count and width == 4 * across:
                written[top:bottom].view(count, 4, across, 4, -1).copy_(strip)
            else:
                written[top:bottom] = strip.reshape(4 * count, 4 * across, -1)[: bottom - top, :width]
        return out.permute(0, 3, 1, 2)

    def _tiles(self, rows: Tensor, first: int, count: int, across: int) -> Tensor:
        """`count` rows of output tiles from tile row `first` on, (16, count * across, O)."""
        height, width, inputs = rows.shape
        dtype, tiles = self.kernel.dtype, count * across
        # Each tile sees six rows and columns: its own four and one more on every side.
        tall, wide = 4 * count + 2, 4 * across + 2
        padded = self.workspace.take("padded", (tall, wide, inputs), dtype)
        above, below = max(4 * first - 1, 0), min(4 * (first + count) + 1, height)
        head = above - (4 * first - 1)
        padded[:head].zero_()
        padded[head + below - above :].zero_()
        padded[:, 0].zero_()
        padded[:, width + 1 :].zero_()
        padded[head : head + below - above, 1 : width + 1] = rows[above:below]
        seen = padded.as_strided(
            (6, 6, count, across, inputs), (wide * inputs, inputs, 4 * wide * inputs, 4 * inputs, 1)
        )
        gathered = self.workspace.take("gathered", (36, tiles * inputs), dtype)
        gathered.view(6, 6, count, across, inputs).copy_(seen)
        transformed = self.workspace.take("transformed", (36, tiles * inputs), dtype)
        torch.mm(self.into, gathered, out=transformed)
        products = self.workspace.take("products", (36, tiles, self.outputs), dtype)
        torch.bmm(transformed.view(36, tiles, inputs), self.kernel, out=products)
        found = self.workspace.take("found", (16, tiles * self.outputs), dtype)
        torch.mm(self.out_of, products.view(36, -1), out=found)
        result = found.view(16, tiles, self.outputs)
        return result if self.bias is None else result.add_(self.bias)
