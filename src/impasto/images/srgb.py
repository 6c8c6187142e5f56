"""The transfer curve of sRGB (IEC 61966-2-1), between pixels and linear light."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["from_linear", "to_linear"]


def to_linear(pixels: Tensor) -> Tensor:
    """Convert sRGB to linear light; both are in [0, 1]. Negative values continue the straight part of the curve."""
    return torch.where(pixels <= 0.04045, pixels / 12.92, ((pixels.clamp(min=0) + 0.055) / 1.055) ** 2.4)


def from_linear(light: Tensor) -> Tensor:
    """Convert linear light to sRGB; both are in [0, 1]. Negative values continue the straight part of the curve."""
    curved = 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, 12.92 * light, curved)
