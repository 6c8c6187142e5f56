"""LPIPS, the perceptual distance of Zhang et al. 2018 (1801.03924), on AlexNet, version 0.1."""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.core.encoder import Encoder
from impasto.engine.tiles import cut_tiles
from impasto.weights import Heads

__all__ = ["lpips"]

EPSILON = 1e-10  # the authors', added to the norm


@torch.no_grad()
def lpips(encoder: Encoder, heads: Heads, image: Tensor, other: Tensor, *, tile_px: int | None = None) -> float:
    """Measure the distance of two images (1, 3, H, W): 0 is the same, about 0.7 are different scenes.

    Features are scaled to unit length across channels; their squared difference is weighted by the heads,
    averaged over positions and summed over layers. The authors scale an image to [-1, 1], subtract
    (-.030, -.088, -.188) and divide by (.458, .448, .450); the encoder's own normalization does the same.
    Tiles of about `tile_px` give exactly the same result; None: whole. Raises `LayerError` if images are too small.
    """
    height, width = image.shape[2:]
    totals = dict.fromkeys(heads.vectors, 0.0)
    for tile in cut_tiles(encoder.network, totals, height, width, tile_px):
        features = [encoder(tile.crop(picture), totals) for picture in (image, other)]
        for layer, weights in heads.vectors.items():
            one, two = (_unit_length(maps[layer][tile.in_tile(layer)]) for maps in features)
            weighted = (one - two).square_() * weights.to(one).view(1, -1, 1, 1)
            totals[layer] += float(weighted.sum())
    sides = {layer: [encoder.network.output_px(layer, side) for side in (height, width)] for layer in totals}
    return sum(total / (sides[layer][0] * sides[layer][1]) for layer, total in totals.items())


def _unit_length(features: Tensor) -> Tensor:
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + EPSILON)
