"""The way from a painted target to the picture: reduced to its size, and on the white paper of a print."""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.config import ResolvedConfig
from impasto.core.framing import mount
from impasto.core.run_inputs import RunInputs
from impasto.core.tensor_store import TensorStore
from impasto.images import OpenedImage, iter_row_blocks, reduce_image
from impasto.run.loading import load_content
from impasto.run.sizes import Sizes

__all__ = ["place_on_paper"]


def place_on_paper(
    painted: Tensor, inputs: RunInputs, content: OpenedImage, sizes: Sizes, config: ResolvedConfig, store: TensorStore
) -> tuple[Tensor, Tensor | None]:
    """Return a painting (1, 3, H, W) and its alpha at the size of the picture, on the white paper of a print."""

    def reduce(image: Tensor) -> Tensor:
        return reduce_image(image, *sizes.frame.size, store, sizes.wrap)

    picture, alpha, mask = reduce(painted), inputs.content.alpha, inputs.paint_mask
    if picture is not painted and mask is not None and not config.bleed_alpha:
        mask = (mask if inputs.panorama is None else inputs.panorama.to_picture(mask)).cpu()
        photo = load_content(content, sizes.frame, config, store)
        for out, kept, share in iter_row_blocks(store, picture, photo.pixels, reduce(mask)):
            torch.lerp(kept, out, share, out=out)  # what is not painted stays the photo, to the bit
    return mount(picture, sizes.frame, store), None if alpha is None else mount(reduce(alpha), sizes.frame, store)
