"""Reduction of painted images, by the filter that pictures are read with."""

from __future__ import annotations

import pyvips
from torch import Tensor

from impasto.config.wrap import Dims
from impasto.core.image import wrap_margin
from impasto.core.tensor_store import TensorStore
from impasto.images.read import iter_rows, to_block

__all__ = ["reduce_image"]

REACH_PX = 4
"""Reach of the filter in pixels of the smaller image, and one more."""


def reduce_image(image: Tensor, height: int, width: int, store: TensorStore, wrap: Dims = ()) -> Tensor:
    """Reduce an image (1, C, H, W) in [0, 1] to a size (Lanczos 3). Its edges meet along the dimensions `wrap`.

    Paintings are measured after this filter, so a softer one would take contrast from the strokes.
    """
    before, after = image.shape[2:], (height, width)
    if before == after:
        return image
    # libvips reads the channels where they are: a copy would take as much memory again.
    channels = [
        pyvips.Image.new_from_memory(channel.numpy(), before[1], before[0], 1, "float")
        for channel in image[0].cpu().contiguous()
    ]
    picture = channels[0].bandjoin(channels[1:])
    down, across = (wrap_margin(before[side], after[side], REACH_PX) if side + 2 in wrap else 0 for side in (0, 1))
    picture = picture.embed(across, down, before[1] + 2 * across, before[0] + 2 * down, extend="repeat")
    picture = picture.resize(width / before[1], vscale=height / before[0], kernel="lanczos3")
    picture = picture.crop(across * width // before[1], down * height // before[0], width, height)
    reduced = store.empty((1, image.shape[1], height, width), image.dtype)
    for rows, values in iter_rows(picture):
        reduced[0, :, rows] = to_block(values).clamp_(0, 1)
        store.release(reduced)
    return reduced
