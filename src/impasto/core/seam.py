"""Photos whose edges do not meet, made to meet."""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.config.wrap import SIDES, Dims
from impasto.core.tensor_store import TensorStore

__all__ = ["close_seam"]


def close_seam(image: Tensor, wrap: Dims, store: TensorStore) -> Tensor:
    """Remove the jump across the edges of an image (1, C, H, W) in [0, 1], with the least change of its gradients.

    The periodic part of the image: Moisan 2011, "Periodic plus smooth image decomposition". What is removed is smooth
    inside of the image, so nothing is blurred or doubled.
    """
    height, width = image.shape[2:]
    closed = store.empty(image.shape, image.dtype)
    for channel in range(image.shape[1]):  # one at a time takes a third of the memory
        own = image[0, channel]
        for dim in SIDES:
            if dim not in wrap:  # next to its mirror image it has no jump
                own = torch.cat([own, own.flip(dim - 2)], dim=dim - 2)
        periodic = own - _smooth_part(own, wrap)
        closed[0, channel] = periodic[:height, :width].clamp_(0, 1)
        store.release(closed)
    return closed


def _smooth_part(values: Tensor, wrap: Dims) -> Tensor:
    """Return the smooth values (H, W) that have the jumps across the edges: solve a Poisson equation on a torus."""
    jumps = torch.zeros_like(values)
    for dim in (side - 2 for side in wrap):
        jump = values.narrow(dim, -1, 1) - values.narrow(dim, 0, 1)
        jumps.narrow(dim, 0, 1).add_(jump)
        jumps.narrow(dim, -1, 1).sub_(jump)
    down = torch.fft.fftfreq(values.shape[0], device=values.device)[:, None]
    across = torch.fft.rfftfreq(values.shape[1], device=values.device)
    laplacian = 2 * (torch.cos(2 * torch.pi * down) + torch.cos(2 * torch.pi * across)) - 4
    laplacian[0, 0] = 1  # the mean of the jumps is zero
    smooth: Tensor = torch.fft.irfft2(torch.fft.rfft2(jumps) / laplacian, s=values.shape)
    return smooth
