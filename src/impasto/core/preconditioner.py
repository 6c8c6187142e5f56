"""The preconditioner: a filter that makes descent prefer the low frequencies that pictures are made of."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from impasto.core.tensor_store import RamStore, TensorStore

__all__ = ["Filter", "fourier_filter"]

KNEE = 0.1
"""Cycles per pixel below which the Fourier filter stops favoring low frequencies (measured: see `fourier_filter`)."""

MARGIN_PX = 32
"""Zeros between an edge and the opposite one, which are neighbors to a Fourier transform: without them a bright sky
borrows from the dark ground, and both get a rim."""

Filter = Callable[[Tensor], Tensor]


def fourier_filter(like: Tensor, power: float = 1.0, store: TensorStore | None = None) -> Filter:
    """z -> irfft2(S · rfft2(z)) with S = (f + 0.1)^-power, f in cycles per pixel, of unit mean square.

    A change of variables that makes descent prefer what pictures are made of. Measured at 224 px: the
    loss of 100 steps on pixels after about 60 steps, with less grain.
    """
    place = store or RamStore(like.device)
    height, width = like.shape[2:]
    padded = (height + MARGIN_PX, width + MARGIN_PX)
    down = torch.fft.fftfreq(padded[0], device=like.device)[:, None]
    across = torch.fft.rfftfreq(padded[1], device=like.device)[None, :]
    response = torch.hypot(down, across).add_(KNEE).pow_(-power)
    response /= torch.fft.irfft2(response, s=padded).norm()  # by Parseval

    def smooth(z: Tensor) -> Tensor:
        filtered = place.empty(z.shape, z.dtype)
        for channel in range(z.shape[1]):  # one at a time needs a third of the memory
            spectrum = torch.fft.rfft2(z[:, channel], s=padded)
            filtered[:, channel] = torch.fft.irfft2(spectrum.mul_(response), s=padded)[:, :height, :width]
            place.release(z, filtered)
        return filtered

    return smooth
