"""Regions: parts of the target that are painted from a style of their own, or from a part of one.

Laws: a mask is (1, 1, H, W) in [0, 1]. At every pixel the regions of a picture sum to at most one; what they
leave is not painted, and stays the content. A guide is a mask at the positions of a layer.

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
    """A style by its number, its share in a region, and the part of it that is looked at; None: all."""

    style: int
    share: float
    mask: Tensor | None


@dataclass(frozen=True)
class Region:
    """Where in the target, its share of what is painted, and the styles that it is painted from."""

    mask: Tensor
    share: float
    uses: tuple[StyleUse, ...]


def downsample_masks(
    masks: Sequence[Tensor | None], network: Network, layers: Sequence[str], image: Tensor, store: TensorStore
) -> dict[str, Tensor]:
    """Each mask at the positions of each layer of an image: (R, h, w), by area; None is everywhere."""
    height, width = image.shape[2:]
    guides = {}
    for layer in layers:
        size = network.output_px(layer, height), network.output_px(layer, width)
        guide = store.empty((len(masks), *size))
        for number, mask in enumerate(masks):
            guide[number] = 1 if mask is None else F.adaptive_avg_pool2d(mask, size)[0, 0]
            store.release(guide)
        guides[layer] = guide
    return guides
