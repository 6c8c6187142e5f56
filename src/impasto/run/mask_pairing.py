"""Pairing of masks: which style, or which part of one, each region of the content is painted from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.core.masks import Region, StyleUse
from impasto.core.tensor_store import TensorStore
from impasto.errors import ConfigError
from impasto.images import iter_row_blocks

__all__ = ["Areas", "format_count", "pair_masks"]

MIN_AREA = 1e-5
"""Share of a picture below which a mask counts as empty."""

Areas = Mapping[str, Tensor]
"""The areas of one mask by color, such as `#ff0000`; a gray mask has one area, named ""."""


@dataclass(frozen=True)
class _Pair:
    """A region before it has an area: its mask (None is the whole content) and the styles that it uses.

    `uses` have the styles' own shares; `name` is for error messages.
    """

    name: str
    mask: Tensor | None
    uses: Sequence[StyleUse]


def pair_masks(
    content: Sequence[Areas],
    style: Sequence[Areas],
    shares: Sequence[float],
    allowed: Tensor,
    store: TensorStore,
    visible: Sequence[Tensor | None] = (),
) -> tuple[Region, ...]:
    """Pair the masks of the content with styles, or with the masks of styles.

    Gray masks pair in order: one for each style, or, with one style, one for each of its masks. Label maps pair by
    color: one for the content, one for each style. Without content masks, the whole content is one region.
    `shares` are those of the styles; `allowed` is 1 where the content may be painted over; `visible` is the alpha of
    each style with transparent parts, and None for others. Raises `ConfigError` if counts or colors do not match, or if
    a region is empty.
    """
    if any("" not in areas for areas in (*content, *style)):
        pairs = _pair_by_color(content, style, shares)
    elif content:
        pairs = _pair_in_order(content, style, shares)
    else:
        pairs = [_use_all_styles(style, shares)]
    for number, areas in enumerate(style, start=1):
        for mask in areas.values():
            _measure_area(f"Style mask {number}", mask, store)
    masks = _remove_overlaps([pair.mask for pair in pairs], allowed, store)
    painted = [_measure_area(pair.name, mask, store) for pair, mask in zip(pairs, masks, strict=True)]
    weights = [area * _average_share(pair.uses, len(shares)) for area, pair in zip(painted, pairs, strict=True)]
    return tuple(
        Region(mask, weight / (sum(weights) or 1), _leave_out_transparent(_normalize(pair.uses), visible, store))
        for mask, weight, pair in zip(masks, weights, pairs, strict=True)
    )


def format_count(count: int, noun: str) -> str:
    """Return "1 style" or "2 styles"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _use_all_styles(style: Sequence[Areas], shares: Sequence[float]) -> _Pair:
    """Paint the whole content from all styles, or from the part of each that its mask selects."""
    if style and len(style) != len(shares):
        given, wanted = format_count(len(style), "style mask"), format_count(len(shares), "style")
        raise ConfigError(f"There are {wanted} and {given}. Give one mask for each style.")
    uses = [StyleUse(number, share, style[number][""] if style else None) for number, share in enumerate(shares)]
    return _Pair("The area to paint", None, uses)


def _pair_in_order(content: Sequence[Areas], style: Sequence[Areas], shares: Sequence[float]) -> list[_Pair]:
    """Pair gray masks: the first of the content with the first style or style mask, and so on."""
    count = len(shares)
    given = format_count(len(content), "content mask")
    if style and len(style) != len(content):
        raise ConfigError(f"There are {given} and {format_count(len(style), 'style mask')}. Give them in pairs.")
    if len(content) != count and not (style and count == 1):
        more = "" if style else ", or one style and a style mask for each region"
        raise ConfigError(f"There are {given} and {format_count(count, 'style')}. Give a mask for each style{more}.")
    pairs = []
    for number, areas in enumerate(content):
        part = style[number][""] if style else None
        use = StyleUse(number, shares[number], part) if count > 1 else StyleUse(0, 1.0, part)
        pairs.append(_Pair(f"Content mask {number + 1}", areas[""], [use]))
    return pairs


def _pair_by_color(content: Sequence[Areas], style: Sequence[Areas], shares: Sequence[float]) -> list[_Pair]:
    """Pair the colors of a label map of the content with the same colors in those of the styles."""
    if any("" in areas for areas in (*content, *style)) or len(content) != 1:
        raise ConfigError(
            "A colored mask labels all regions at once, and cannot be combined with others. Give one for the content, "
            "and one for each style."
        )
    if len(style) != len(shares):
        given, wanted = format_count(len(style), "colored style mask"), format_count(len(shares), "style")
        raise ConfigError(f"There are {wanted} and {given}. Give one for each style, to pair regions by color.")
    pairs = []
    for color, mask in content[0].items():
        uses = [StyleUse(number, shares[number], areas[color]) for number, areas in enumerate(style) if color in areas]
        if not uses:
            known = ", ".join(sorted({name for areas in style for name in areas})) or "none of its colors"
            raise ConfigError(f"No style mask has the content mask's {color}: they have {known}. Use the same colors.")
        pairs.append(_Pair(f"The content mask's {color}", mask, uses))
    return pairs


def _remove_overlaps(masks: Sequence[Tensor | None], allowed: Tensor, store: TensorStore) -> list[Tensor]:
    """Scale masks to sum to at most `allowed` at every pixel. A single None is the whole content."""
    given = [mask for mask in masks if mask is not None]
    if not given:
        return [allowed]
    scaled = [store.empty(allowed.shape) for _ in given]
    for limit, *rows in iter_row_blocks(store, allowed, *given, *scaled):
        before, after = rows[: len(given)], rows[len(given) :]
        total = sum(before, start=torch.zeros_like(limit)).clamp_(min=1)
        for mask, out in zip(before, after, strict=True):
            out.copy_(mask / total * limit)
    return scaled


def _average_share(uses: Sequence[StyleUse], count: int) -> float:
    """Return the mean share of a region's styles, relative to the mean of all `count` styles."""
    return count * sum(use.share for use in uses) / len(uses)


def _normalize(uses: Sequence[StyleUse]) -> tuple[StyleUse, ...]:
    """Scale the shares of a region's styles to sum to one."""
    total = sum(use.share for use in uses) or 1  # all shares may be 0
    return tuple(StyleUse(use.style, use.share / total, use.mask) for use in uses)


def _leave_out_transparent(
    uses: Sequence[StyleUse], visible: Sequence[Tensor | None], store: TensorStore
) -> tuple[StyleUse, ...]:
    """Multiply the masks of styles by their alpha."""
    limited = []
    for use in uses:
        alpha, mask = visible[use.style] if visible else None, use.mask
        if alpha is not None and mask is not None:
            part = store.empty(mask.shape)
            for out, *rows in iter_row_blocks(store, part, mask, alpha):
                torch.mul(*rows, out=out)
            _measure_area(f"The visible part of style mask {use.style + 1}", part, store)
            use = StyleUse(use.style, use.share, part)
        elif alpha is not None:
            use = StyleUse(use.style, use.share, alpha)
        limited.append(use)
    return tuple(limited)


def _measure_area(name: str, mask: Tensor, store: TensorStore) -> float:
    """Return the share of a picture that a mask covers. Raises `ConfigError` if it is empty."""
    area = sum(float(rows.sum(dtype=torch.float64)) for (rows,) in iter_row_blocks(store, mask)) / mask.numel()
    if area < MIN_AREA:
        raise ConfigError(f"{name} is empty: nothing in it is white, or all of it is protected. Is a mask inverted?")
    return area
