"""Circular convolutions, made of those that pad with zeros.

A convolution with zeros is right everywhere but at the edges. These are computed again from strips that reach across
them, so no tensor is copied. The adjoint of a circular convolution is one with flipped kernels, made in the same way.
"""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.config.wrap import Dims
from impasto.engine.operations import Convolution

__all__ = ["convolve_circularly"]


def convolve_circularly(convolve: Convolution, x: Tensor, radius: int, wrap: Dims, *, rectify: bool = False) -> Tensor:
    """Convolve `x` into a new tensor of its size, going on at the other edge along the dimensions `wrap`.

    `convolve` pads with `radius` zeros. With `rectify`, ReLU is applied.
    """
    out = convolve(x, rectify=rectify)
    if radius == 0:  # padded already
        return out
    for number, dim in enumerate(wrap):
        around = torch.arange(-2 * radius, 2 * radius, device=x.device)
        strip = x.index_select(dim, around % x.shape[dim]).contiguous(memory_format=torch.channels_last)
        edges = convolve_circularly(convolve, strip, radius, wrap[:number], rectify=rectify)
        own = slice(radius, 3 * radius)
        out.index_copy_(dim, around[own] % x.shape[dim], edges.narrow(dim, radius, 2 * radius))
    return out
