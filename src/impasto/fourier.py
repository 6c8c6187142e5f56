"""The preconditioner: a filter that makes descent prefer the low frequencies that pictures are made of."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from impasto.store import Memory, Store

__all__ = ["Filter", "fourier_filter"]

KNEE = 0.1
"""Cycles per pixel below which the Fourier filter stops favoring low frequencies (measured: see `fourier_filter`)."""

Filter = Callable[[Tensor], Tensor]


def fourier_filter(like: Tensor, store: Store | None = None) -> Filter:
    """z -> irfft2(S · rfft2(z)) with S = 1 / (f + 0.1), f in cycles per pixel, of unit mean square.

    A change of variables that makes descent prefer what pictures are made of. Measured at 224 px: the
    loss of 100 steps on pixels after about 60 steps, with less grain.
    """
    place = store or Memory(like.device)
    height, width = like.shape[2:]
    down = torch.fft.fftfreq(height, device=like.device)[:, None]
    across = torch.fft.rfftfreq(width, device=like.device)[None, :]
    response = torch.hypot(down, across).add_(KNEE).reciprocal_()
    # rfft2 keeps half of the plane: count the other half when taking the mean square.
    energy = 2 * response.square().sum() - response[:, 0].square().sum()
    if width % 2 == 0:
        energy -= response[:, -1].square().sum()
    response /= (energy / (height * width)).sqrt()

    def smooth(z: Tensor) -> Tensor:
        filtered = place.empty(z.shape, z.dtype)
        for channel in range(z.shape[1]):  # one at a time needs a third of the memory
            spectrum = torch.fft.rfft2(z[:, channel])
            filtered[:, channel] = torch.fft.irfft2(spectrum.mul_(response), s=(height, width))
            place.release(z, filtered)
        return filtered

    return smooth
