"""Pictures as arrays and tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
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


def textured_scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return a scene of blobs of many sizes, (H, W, 3) of uint8, in which motion can be followed."""
    generator = torch.Generator().manual_seed(seed)
    scene = torch.zeros(1, 3, height, width)
    for cell_px in (4, 8, 16, 32):
        coarse = torch.rand(1, 3, height // cell_px + 2, width // cell_px + 2, generator=generator) - 0.5
        scene += F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False) * cell_px**0.5
    scene = (scene - scene.min()) / (scene.max() - scene.min())
    return np.asarray((scene[0].permute(1, 2, 0) * 255).round().numpy(), np.uint8)
