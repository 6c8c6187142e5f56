"""The inputs of a run: pictures and masks opened, loaded at their sizes, and paired into regions."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from impasto import images
from impasto.config import Config, Inputs, ResolvedConfig, RunOptions
from impasto.config.layer_chain import LARGE_PX
from impasto.config.networks import architecture
from impasto.config.roles import assign_roles, build_inputs, pictures_by_role
from impasto.config.wrap import fit_sides, wrapped_dims
from impasto.core.evaluate import Engine
from impasto.core.framing import Frame, frame_content
from impasto.core.image import Picture
from impasto.core.masks import Region
from impasto.core.pyramid import Scale, plan_scales
from impasto.core.run_inputs import RunInputs, Style
from impasto.core.seam import close_seam
from impasto.core.style_losses import needs_features
from impasto.core.tensor_store import TensorStore
from impasto.errors import ConfigError
from impasto.images import Mask
from impasto.run.colors import transfer_colors
from impasto.run.layout import Layout, find_layout
from impasto.run.mask_pairing import format_count, pair_masks
from impasto.run.recipe import InputRecord

__all__ = [
    "count_regions",
    "load_content",
    "load_inputs",
    "open_inputs",
    "require_init",
    "style_length_px",
    "style_shares",
]

logger = logging.getLogger("impasto")

FULLY_PAINTED = 1 - 1 / 512
"""From this mask value on a pixel counts as fully painted: half a level of 8 bits below 1."""

SMALL_STYLE_PX = 192
"""A style with a shorter long side is enlarged to it: without, its few pixels become hard fringes (48 px at 320 px)."""

MAX_STYLE_ENLARGEMENT = 4
"""From this factor on an enlarged style has no more strokes, only blurred areas."""

SOFT_ENLARGEMENT = 1.5
"""Above this factor strokes are visibly soft."""


def open_inputs(inputs: Inputs, max_megapixels: float) -> Inputs:
    """Open every picture and mask, so that each is read and hashed once per run. Raises `ImageError`."""
    opened = {
        role: images.open_image(picture, max_megapixels=max_megapixels)
        for role, picture in pictures_by_role(inputs).items()
    }
    return build_inputs(opened, inputs.weights)


def count_regions(inputs: Inputs, config: Config) -> int:
    """Return an upper bound on the number of mask regions, 0 without masks. Raises `ImageError`."""
    counts = [sum(map(images.count_regions, masks)) for masks in (inputs.content_masks, inputs.style_masks)]
    bleeds = bool(config.bleed_alpha) and inputs.content.has_alpha
    whole = bleeds or inputs.protect is not None or any(style.has_alpha for style in inputs.styles)
    return max(*counts, int(whole))


def load_inputs(inputs: Inputs, config: ResolvedConfig, options: RunOptions, engine: Engine) -> RunInputs:
    """Load pictures and masks at the sizes that the run measures them at. Raises `ImageError`, `ConfigError`."""
    require_init(inputs, config)
    inputs, store = open_inputs(inputs, options.max_megapixels), engine.store
    frame = frame_content(inputs.content.size, config).enlarged(config.supersample)
    picture = load_content(inputs.content, frame, config, store)
    layout = find_layout(inputs.content, picture, config, store)
    content = layout.lay_out_picture(picture)
    height, width = content.pixels.shape[2:]
    styles = _load_styles(inputs, config, height, width, store)
    loaded: dict[str, Picture | Mask] = {"content": picture}
    loaded |= assign_roles("style", [style.picture for style in styles])
    init = None
    if inputs.init is not None:
        loaded["init"] = init = images.load(inputs.init, long_side_px=4 * config.longest_px, store=store)
        init = layout.lay_out_start(init)
    masks = _load_masks(inputs, picture, frame, styles, config, store)
    records = {role: InputRecord(name=file.name, sha256=file.sha256) for role, file in (loaded | masks).items()}
    visible = _find_visible_parts(styles, config)
    has_regions = masks or layout.reach is not None or any(part is not None for part in visible)
    regions = _pair_regions(masks, content, styles, visible, layout, store) if has_regions else ()
    paint_mask = _build_paint_mask(regions, store) if regions else None
    colors = transfer_colors(content, styles, visible, regions, paint_mask, config, store)
    min_px = engine.encoder.minimum_px(name for name, _ in (*config.content_layers, *config.style_layers))
    if min(height, width) >= min_px:  # the network refuses others
        _warn_of_small_styles(inputs, colors.styles, max(height, width), config.supersample)
    return RunInputs(
        content=colors.content,
        styles=colors.styles,
        init=init,
        scales=_plan_scales(config, height, width, min_px),
        move_colors=colors.move_colors,
        finish=layout.finish_with(colors.restore_colors),
        recolored=colors.recolored,
        regions=regions,
        paint_mask=paint_mask,
        panorama=layout.panorama,
        records=records,
    )


def load_content(content: images.OpenedImage, frame: Frame, config: ResolvedConfig, store: TensorStore) -> Picture:
    """Load the part of the photo that is painted, without the jump of its edges if they are to meet so."""
    picture = images.load(content, frame=frame, store=store)
    if config.content_seam == "keep":
        return picture
    return replace(picture, pixels=close_seam(picture.pixels, wrapped_dims(config.wrap), store))


def _load_styles(
    inputs: Inputs, config: ResolvedConfig, height: int, width: int, store: TensorStore
) -> tuple[Style, ...]:
    """Load the styles at the sizes that a target of this size measures them at."""

    def load(style: images.OpenedImage, scale: float) -> Picture:
        length_px = style_length_px(style, scale, config, height, width)
        return images.load(style, long_side_px=length_px, enlarge=True, store=store)

    shares = style_shares(inputs, config, height, width)
    return tuple(
        Style(load(style, scale), share, scale) for style, (share, scale) in zip(inputs.styles, shares, strict=True)
    )


def _plan_scales(config: ResolvedConfig, height: int, width: int, minimum_px: int) -> tuple[Scale, ...]:
    """Return the scales of a target of this size."""
    multiples = config.side_multiples
    sides = fit_sides(height, width, multiples)
    steps, scales = config.iterations, config.scales
    return plan_scales(*sides, iterations=steps, scales=scales, minimum_px=minimum_px, multiples=multiples)


def style_length_px(style: images.OpenedImage, scale: float, config: ResolvedConfig, height: int, width: int) -> int:
    """Return the long side to measure a style at, for a target of this size.

    A narrow style keeps the sides that the network needs. A small one is enlarged up to `SMALL_STYLE_PX`, or as far as
    `MAX_STYLE_ENLARGEMENT` allows with `Config.enlarge_style`; and by what the target is larger than the picture.
    """
    network = architecture(config.network)
    min_px = max(network.minimum_px(name) for name, _ in config.style_layers)
    wanted_px = math.ceil(max(scale * max(height, width), min_px * max(style.size) / min(style.size)))
    own_px = max(style.size)
    if min(style.size) < min_px:
        return own_px  # the encoder refuses it by name
    enlarged_px = MAX_STYLE_ENLARGEMENT * own_px
    most_px = enlarged_px if config.enlarge_style else max(own_px, min(SMALL_STYLE_PX, enlarged_px))
    return min(wanted_px, round(config.supersample * most_px))


def _warn_of_small_styles(inputs: Inputs, styles: tuple[Style, ...], target_px: int, supersample: float) -> None:
    """Warn of each style whose strokes will be soft, or fine, because it has few pixels for a target of this size."""
    size_px = round(target_px / supersample)
    for opened, style in zip(inputs.styles, styles, strict=True):
        own_px, loaded_px = max(opened.size), round(max(style.picture.pixels.shape[2:]) / supersample)
        if loaded_px > SOFT_ENLARGEMENT * own_px:
            logger.warning(
                "%s has only %d px, too few for fine strokes. It is enlarged to %d px and gives soft strokes; "
                "for crisp ones, give a larger picture of the style.",
                opened.label,
                own_px,
                loaded_px,
            )
        elif size_px > LARGE_PX and round(style.scale * size_px) > SOFT_ENLARGEMENT * loaded_px:
            logger.warning(
                "%s has only %d px for a picture of %d px, so its strokes come out finer than in the painting. For "
                "broader ones, give a larger picture of it, or --enlarge-style, which makes them softer.",
                opened.label,
                loaded_px,
                size_px,
            )


def _find_visible_parts(styles: tuple[Style, ...], config: Config) -> list[Tensor | None]:
    """Return the alpha of each style that has transparent parts: it acts as a style mask."""
    alphas = [style.picture.alpha for style in styles]
    visible = [None if alpha is None or float(alpha.min()) >= FULLY_PAINTED else alpha for alpha in alphas]
    if needs_features(config.style_loss) and any(part is not None for part in visible):
        logger.warning(
            "Transparent parts of a style count as flat paint with style_loss = %r, which has no masks.",
            config.style_loss,
        )
        return [None] * len(styles)
    return visible


def _load_masks(
    inputs: Inputs,
    content: Picture,
    frame: Frame,
    styles: tuple[Style, ...],
    config: Config,
    store: TensorStore,
) -> dict[str, Mask]:
    """Load the masks by role, each at the size of its picture."""
    if not (inputs.content_masks or inputs.style_masks or inputs.protect is not None):
        return {}
    if needs_features(config.style_loss):
        raise ConfigError(
            f"style_loss = {config.style_loss!r} does not support masks. Choose another, or leave out the masks."
        )

    def load(mask: object, picture: Picture, labels: tuple[str, ...] = (), frame: Frame | None = None) -> Mask:
        name = picture.name or "its picture"
        return images.load_mask(mask, *picture.pixels.shape[2:], what=name, store=store, labels=labels, frame=frame)

    content_masks = [load(mask, content, frame=frame) for mask in inputs.content_masks]
    labels = tuple(color for mask in content_masks for color in mask.areas if color)
    # One style may have several masks; `pair_masks` refuses a wrong number.
    style_masks = [
        load(mask, styles[min(number, len(styles) - 1)].picture, labels)
        for number, mask in enumerate(inputs.style_masks)
    ]
    masks = assign_roles("content_mask", content_masks) | assign_roles("style_mask", style_masks)
    if inputs.protect is not None:
        masks["protect"] = protect = load(inputs.protect, content, frame=frame)
        if "" not in protect.areas:
            raise ConfigError(
                f"{protect.name or 'The mask'} is colored. Give `protect` a gray mask: white parts keep the content."
            )
    return masks


def _pair_regions(
    masks: Mapping[str, Mask],
    content: Picture,
    styles: tuple[Style, ...],
    visible: Sequence[Tensor | None],
    layout: Layout,
    store: TensorStore,
) -> tuple[Region, ...]:
    """Pair content masks with styles, within what is painted and outside of the protected parts."""
    masks = {role: mask if role.startswith("style") else layout.lay_out_mask(mask) for role, mask in masks.items()}
    reach = layout.lay_out(layout.reach) if layout.reach is not None else None
    protect = masks["protect"].areas[""] if "protect" in masks else None
    allowed = store.empty((1, 1, *content.pixels.shape[2:]))
    given = [part for part in (reach, protect) if part is not None]
    for out, *rows in images.iter_row_blocks(store, allowed, *given):
        out.fill_(1)
        if reach is not None:
            out.mul_(rows[0].to(out.device))
        if protect is not None:
            out.mul_((1 - rows[-1]).to(out.device))
    content_areas, style_areas = (
        [mask.areas for role, mask in masks.items() if role.startswith(kind)] for kind in ("content", "style")
    )
    return pair_masks(content_areas, style_areas, [style.share for style in styles], allowed, store, visible)


def _build_paint_mask(regions: tuple[Region, ...], store: TensorStore) -> Tensor | None:
    """Return how much of each pixel is painted by the regions together, or None if all of every pixel is."""
    mask, least = store.empty(regions[0].mask.shape), 1.0
    for out, *rows in images.iter_row_blocks(store, mask, *(region.mask for region in regions)):
        torch.clamp(sum(rows, start=torch.zeros_like(out)), max=1, out=out)
        least = min(least, float(out.min()))
    return mask if least < FULLY_PAINTED else None


def require_init(inputs: Inputs, config: Config) -> None:
    """Raise `ConfigError` unless `init = "image"` and an initial picture are given together."""
    if (config.init == "image") != (inputs.init is not None):
        raise ConfigError("init = 'image' and a picture to start from go together. Give both, or neither.")


def style_shares(inputs: Inputs, config: ResolvedConfig, height: int, width: int) -> list[tuple[float, float]]:
    """Return share and scale of each style for a target of this size. Raises `ConfigError` for a wrong number."""
    count = len(inputs.styles)
    weights, lengths = config.style_weights, config.style_scale
    if len(lengths) == 1:
        lengths *= count
    for name, given in (("style_weights", weights), ("style_scale", lengths)):
        if len(given) != count:
            values, styles = format_count(len(given), "value"), format_count(count, "style")
            raise ConfigError(f"{name} has {values} for {styles}. Give one for each.")
    return [
        (weight / sum(weights), length.number / (max(height, width) / config.supersample if length.in_px else 1))
        for weight, length in zip(weights, lengths, strict=True)
    ]
