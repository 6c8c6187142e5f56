"""Pictures as arrays and tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def read_pixels(path: Path) -> np.ndarray:
    """Read a picture with Pillow, independently of Impasto's decoder."""
    with Image.open(path) as image:
        return np.asarray(image)


def one_color(color: tuple[float, float, float], height: int = 24, width: int = 32) -> Tensor:
    """Return a picture of one color, (1, 3, height, width)."""
    return torch.tensor(color).view(1, 3, 1, 1).expand(1, 3, height, width).clone()


def random_image(seed: int, height: int = 16, width: int = 12, channels: int = 3) -> Tensor:
    """Return seeded uniform noise of shape (1, channels, height, width)."""
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(seed))
