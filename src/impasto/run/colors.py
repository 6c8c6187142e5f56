"""The colors of a run: which of photo and paintings they come from, before and after painting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from impasto.config import ResolvedConfig
from impasto.config.wrap import wrapped_dims
from impasto.core.image import Picture
from impasto.core.masks import Region
from impasto.core.protect import ProtectedImage
from impasto.core.run_inputs import Style
from impasto.core.tensor_store import TensorStore
from impasto.images import color
from impasto.images.palette import build_palette, move_to_palette
from impasto.images.row_blocks import iter_row_blocks

__all__ = ["RunColors", "transfer_colors"]


@dataclass(frozen=True)
class RunColors:
    """The pictures to measure, in their colors, and what changes a painted target: see `RunInputs`."""

    content: Picture
    styles: tuple[Style, ...]
    move_colors: Callable[[Tensor], Tensor] | None = None
    restore_colors: Callable[[Tensor], Tensor] | None = None
    recolored: Picture | None = None


def transfer_colors(
    content: Picture,
    styles: tuple[Style, ...],
    visible: Sequence[Tensor | None],
    regions: Sequence[Region],
    paint_mask: Tensor | None,
    config: ResolvedConfig,
    store: TensorStore,
) -> RunColors:
    """Prepare the colors of content and styles by `config.color`.

    `visible` has the alpha of each style that is partly transparent.
    """
    if config.color == "luminance":
        return _paint_luminance(content, styles, visible, paint_mask, store)
    if config.color == "match":
        method, colors = config.color_transfer, content.pixels
        styles = _convert(styles, visible, lambda pixels, part: color.match_colors(store, pixels, colors, method, part))
    recolored = None
    if config.recolor_content or config.init == "recolored":
        recolored = replace(content, pixels=_recolor(content.pixels, styles, visible, regions, store))
    result = RunColors(recolored if recolored and config.recolor_content else content, styles, recolored=recolored)
    if not config.palette_strength:
        return result
    wrap = wrapped_dims(config.wrap)
    areas = [(mask, build_palette(parts)) for mask, parts in _parts(styles, visible, regions)]
    return replace(
        result, move_colors=lambda painted: move_to_palette(store, painted, areas, config.palette_strength, wrap)
    )


def _paint_luminance(
    content: Picture,
    styles: tuple[Style, ...],
    visible: Sequence[Tensor | None],
    paint_mask: Tensor | None,
    store: TensorStore,
) -> RunColors:
    colors = content.pixels
    gray = color.to_grayscale(store, colors)

    def restore_colors(painted: Tensor) -> Tensor:
        colored = color.transfer_chroma(store, painted, colors)
        return colored if paint_mask is None else ProtectedImage(colors, paint_mask, store).apply(colored)

    gray_styles = _convert(
        styles,
        visible,
        lambda pixels, part: color.match_luminance(store, color.to_grayscale(store, pixels), gray, part),
    )
    gray_content = replace(content, pixels=gray)
    return RunColors(gray_content, gray_styles, restore_colors=restore_colors, recolored=gray_content)


def _convert(
    styles: tuple[Style, ...],
    visible: Sequence[Tensor | None],
    change: Callable[[Tensor, Tensor | None], Tensor],
) -> tuple[Style, ...]:
    return tuple(
        replace(style, picture=replace(style.picture, pixels=change(style.picture.pixels, part)))
        for style, part in zip(styles, visible, strict=True)
    )


def _parts(
    styles: tuple[Style, ...], visible: Sequence[Tensor | None], regions: Sequence[Region]
) -> list[tuple[Tensor | None, list[tuple[float, Tensor, Tensor | None]]]]:
    """Return each area of the target, None for all of it, with the share, pixels and mask of each of its styles."""
    if not regions:
        whole = [(style.share, style.picture.pixels, part) for style, part in zip(styles, visible, strict=True)]
        return [(None, whole)]
    return [
        (region.mask, [(use.share, styles[use.style].picture.pixels, use.mask) for use in region.uses])
        for region in regions
    ]


def _recolor(
    content: Tensor,
    styles: tuple[Style, ...],
    visible: Sequence[Tensor | None],
    regions: Sequence[Region],
    store: TensorStore,
) -> Tensor:
    """Return the content in the colors of the styles of each region. Outside of all regions it stays as it is."""
    result = content
    for mask, parts in _parts(styles, visible, regions):
        recolored = color.recolor(store, content, parts)
        if mask is None:
            return recolored
        blended = store.empty(content.shape, content.dtype)
        for out, before, own, old, share in iter_row_blocks(store, blended, result, recolored, content, mask):
            torch.add(before, (own - old) * share, out=out)
        result = blended
    return result
