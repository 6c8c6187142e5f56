"""The preconditioner: a filter that makes descent favor low frequencies, as images do."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from impasto.config.wrap import SIDES, Dims
from impasto.core.tensor_store import RamStore, TensorStore

__all__ = ["Filter", "fourier_filter"]

KNEE = 0.1
"""Cycles per pixel. Below it the filter is nearly flat (measured: see `fourier_filter`)."""

MARGIN_PX = 32
"""Zeros between opposite edges, which are neighbors to a Fourier transform. Without them a bright sky bleeds into the
dark ground, and both get a rim. Where the edges of the picture meet, they are neighbors, and need none."""

Filter = Callable[[Tensor], Tensor]


def fourier_filter(like: Tensor, power: float = 1.0, store: TensorStore | None = None, wrap: Dims = ()) -> Filter:
    """Return z -> irfft2(S · rfft2(z)) with S = (f + 0.1)^-power, f in cycles per pixel.

    S has unit mean square. As a change of variables it makes descent favor the low frequencies that images are
    made of. Measured at 224 px: about 60 steps reach the loss of 100 steps on pixels, with less grain.
    """
    memory = store or RamStore(like.device)
    height, width = like.shape[2:]
    padded = tuple(like.shape[dim] + (0 if dim in wrap else MARGIN_PX) for dim in SIDES)
    fy = torch.fft.fftfreq(padded[0], device=like.device)[:, None]
    fx = torch.fft.rfftfreq(padded[1], device=like.device)[None, :]
    response = torch.hypot(fy, fx).add_(KNEE).pow_(-power)
    response /= torch.fft.irfft2(response, s=padded).norm()  # by Parseval

    def smooth(z: Tensor) -> Tensor:
        filtered = memory.empty(z.shape, z.dtype)
        # One channel at a time takes a third of the memory. For a card, few calls matter more.
        count = 1 if z.device.type == "cpu" else z.shape[1]
        for channels, out in zip(torch.split(z, count, dim=1), torch.split(filtered, count, dim=1), strict=True):
            spectrum = torch.fft.rfft2(channels, s=padded)
            out.copy_(torch.fft.irfft2(spectrum.mul_(response), s=padded)[:, :, :height, :width])
            memory.release(z, filtered)
        return filtered

    return smooth
