"""Regions: areas of the target that are painted from their own styles, or from part of a style.

Laws: a mask is (1, 1, H, W) in [0, 1]. At each pixel the masks of all regions sum to at most one; the rest stays as
the content is. A layer's mask is a mask at the resolution of that layer, (h, w).

Gatys et al. 2017, "Controlling Perceptual Factors in Neural Style Transfer" (1611.07865).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from impasto.config.networks import Network
from impasto.core.tensor_store import TensorStore

__all__ = ["Region", "StyleUse", "downsample_masks"]


@dataclass(frozen=True)
class StyleUse:
    """The number of a style, its share in a region, and the mask of the part to use; None: all of it."""

    style: int
    share: float
    mask: Tensor | None


@dataclass(frozen=True)
class Region:
    """An area of the target, its share of the painted area, and the styles that it is painted from."""

    mask: Tensor
    share: float
    uses: tuple[StyleUse, ...]


def downsample_masks(
    masks: Sequence[Tensor | None], network: Network, layers: Sequence[str], image: Tensor, store: TensorStore
) -> dict[str, Tensor]:
    """Average each mask of an image to the resolution of each layer, -> (R, h, w); None is everywhere."""
    height, width = image.shape[2:]
    by_layer = {}
    for layer in layers:
        size = network.output_px(layer, height), network.output_px(layer, width)
        downsampled = store.empty((len(masks), *size))
        for number, mask in enumerate(masks):
            downsampled[number] = 1 if mask is None else F.adaptive_avg_pool2d(mask, size)[0, 0]
            store.release(downsampled)
        by_layer[layer] = downsampled
    return by_layer
