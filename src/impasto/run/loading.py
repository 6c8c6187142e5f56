"""Part of the composition root: the pictures and masks of a run, loaded and made ready to be painted from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from impasto import images
from impasto.config import Config, Inputs, RunOptions
from impasto.config.roles import assign_roles
from impasto.core.evaluate import Engine
from impasto.core.image import Picture
from impasto.core.masks import Region
from impasto.core.method import RunInputs, Style
from impasto.core.protect import ProtectedImage
from impasto.core.pyramid import plan_scales
from impasto.core.style_losses import STYLE_LOSSES
from impasto.core.tensor_store import TensorStore
from impasto.errors import ConfigError
from impasto.images import color
from impasto.run.mask_pairing import counted, pair_masks
from impasto.run.recipe import InputRecord

__all__ = ["load_inputs", "require_init", "style_shares"]

ALL = 1 - 1 / 512
"""From this share on a pixel is painted as if it were free: half a step of 8 bits."""


def load_inputs(inputs: Inputs, config: Config, run: RunOptions, engine: Engine) -> RunInputs:
    """Load the pictures at the sizes that they are seen at. Raises `ImageError`, `ConfigError`."""
    require_init(inputs, config)

    def load(source: object, *, enlarge: bool = False, long_side_px: int = config.size) -> Picture:
        limit = run.max_megapixels
        return images.load(source, long_side_px=long_side_px, enlarge=enlarge, max_megapixels=limit, store=engine.store)

    content = load(inputs.content, enlarge=config.enlarge)
    height, width = content.pixels.shape[2:]
    styles = tuple(
        Style(load(style, long_side_px=math.ceil(scale * max(height, width))), share, scale)
        for style, (share, scale) in zip(inputs.styles, style_shares(inputs, config, height, width), strict=True)
    )
    init = load(inputs.init, long_side_px=4 * config.size) if inputs.init is not None else None
    pictures = {"content": content} | assign_roles("style", [style.picture for style in styles])
    if init is not None:
        pictures["init"] = init
    regions, free, masks = _regions(inputs, content, styles, config, run, engine.store)
    records = {role: InputRecord(name=file.name, sha256=file.sha256) for role, file in (pictures | masks).items()}
    content, styles, retouch = _in_colors(content, styles, free, config, engine.store)
    least_px = engine.encoder.minimum_px(name for name, _ in (*config.content_layers, *config.style_layers))
    scales = plan_scales(height, width, iterations=config.iterations, scales=config.scales, minimum_px=least_px)
    return RunInputs(content, styles, init, scales, retouch, regions, free, records)


def _regions(
    inputs: Inputs, content: Picture, styles: tuple[Style, ...], config: Config, run: RunOptions, store: TensorStore
) -> tuple[tuple[Region, ...], Tensor | None, dict[str, images.Mask]]:
    """The regions of a run, where it paints if not everywhere, and the masks by role."""
    if not (inputs.content_masks or inputs.style_masks or inputs.protect is not None):
        return (), None, {}
    if STYLE_LOSSES[config.style_loss].needs_features:
        raise ConfigError(f"style_loss = {config.style_loss!r} knows no regions. Take another, or leave out the masks.")

    def load(mask: object, picture: Picture, labels: tuple[str, ...] = ()) -> images.Mask:
        size, what, limit = picture.pixels.shape[2:], picture.name or "its picture", run.max_megapixels
        return images.load_mask(mask, *size, what=what, max_megapixels=limit, store=store, labels=labels)

    painted = [load(mask, content) for mask in inputs.content_masks]
    colors = tuple(color for mask in painted for color in mask.areas if color)
    # One style may have several masks; where their number is wrong, `regions_of` says so.
    looked_at = [
        load(mask, styles[min(number, len(styles) - 1)].picture, colors)
        for number, mask in enumerate(inputs.style_masks)
    ]
    kept = load(inputs.protect, content) if inputs.protect is not None else None
    if kept is not None and "" not in kept.areas:
        raise ConfigError(f"{kept.name or 'The mask'} is colored, and protect is gray: white stays as it is.")
    free = _where_free(kept, content, store)
    shares = [style.share for style in styles]
    regions = pair_masks([mask.areas for mask in painted], [mask.areas for mask in looked_at], shares, free, store)
    masks = assign_roles("content_mask", painted) | assign_roles("style_mask", looked_at)
    masks |= {"protect": kept} if kept is not None else {}
    return regions, _where_painted(regions, store), masks


def _where_free(kept: images.Mask | None, content: Picture, store: TensorStore) -> Tensor:
    free = store.empty((1, 1, *content.pixels.shape[2:]))
    for out, mask in images.iter_row_blocks(store, free, free if kept is None else kept.areas[""]):
        out.copy_(torch.ones_like(out) if kept is None else 1 - mask)
    return free


def _where_painted(regions: tuple[Region, ...], store: TensorStore) -> Tensor | None:
    """How far each pixel is painted, by any region; None where all of it is."""
    painted, least = store.empty(regions[0].mask.shape), 1.0
    for out, *rows in images.iter_row_blocks(store, painted, *(region.mask for region in regions)):
        torch.clamp(sum(rows, start=torch.zeros_like(out)), max=1, out=out)
        least = min(least, float(out.min()))
    return painted if least < ALL else None


def _in_colors(
    content: Picture, styles: tuple[Style, ...], free: Tensor | None, config: Config, store: TensorStore
) -> tuple[Picture, tuple[Style, ...], Callable[[Tensor], Tensor] | None]:
    """Content and styles as they are painted from, and how colors are put back in the end."""

    def recolored(change: Callable[[Tensor], Tensor]) -> tuple[Style, ...]:
        return tuple(
            replace(style, picture=replace(style.picture, pixels=change(style.picture.pixels))) for style in styles
        )

    if config.color == "style":
        return content, styles, None
    colors = content.pixels
    if config.color == "match":
        return content, recolored(lambda pixels: color.matched(store, pixels, colors, config.color_transfer)), None
    gray = color.luminance(store, colors)
    in_gray = recolored(lambda pixels: color.match_luminance(store, color.luminance(store, pixels), gray))

    def retouch(painted: Tensor) -> Tensor:
        colored = color.with_colors_of(store, painted, colors)
        return colored if free is None else ProtectedImage(colors, free, store).apply(colored)

    return replace(content, pixels=gray), in_gray, retouch


def require_init(inputs: Inputs, config: Config) -> None:
    """Raise `ConfigError` if a picture to start from is missing, or one too many."""
    if (config.init == "image") != (inputs.init is not None):
        raise ConfigError("init = 'image' and a picture to start from go together. Give both, or neither.")


def style_shares(inputs: Inputs, config: Config, height: int, width: int) -> list[tuple[float, float]]:
    """Share and scale of each style, where the picture has this size. Raises `ConfigError`: another number."""
    count = len(inputs.styles)
    weights, lengths = config.style_weights or (1.0,) * count, config.style_scale
    if len(lengths) == 1:
        lengths *= count
    for name, given in (("style_weights", weights), ("style_scale", lengths)):
        if len(given) != count:
            values, styles = counted(len(given), "value"), counted(count, "style")
            raise ConfigError(f"{name} has {values} for {styles}. Give one for each.")
    return [
        (weight / sum(weights), length.number / (max(height, width) if length.in_px else 1))
        for weight, length in zip(weights, lengths, strict=True)
    ]
