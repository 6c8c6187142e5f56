"""Which style, or which part of one, each mask of the content is painted from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from impasto.core.masks import Region, StyleUse
from impasto.core.tensor_store import TensorStore
from impasto.errors import ConfigError
from impasto.images import iter_row_blocks

__all__ = ["Areas", "counted", "pair_masks"]

LEAST_AREA = 1e-5
"""Share of a picture below which a mask is taken for an empty one."""

Areas = Mapping[str, Tensor]
"""The masks that one image holds, by color, such as `#ff0000`; a gray image holds one, of no color."""


def pair_masks(
    content: Sequence[Areas], style: Sequence[Areas], shares: Sequence[float], free: Tensor, store: TensorStore
) -> tuple[Region, ...]:
    """Pair the masks of the content with styles, or with the masks of styles.

    One for each style, or, with one style, one for each of its masks; images of labels pair by color, one of the
    content with one for each style. Without masks of the content, all of it is one region. `shares` are those
    of the styles; `free` is where painting is allowed. Raises `ConfigError`: counts or colors that do not
    match, an empty region.
    """
    count = len(shares)
    labels = [areas for areas in (*content, *style) if "" not in areas]
    if labels and (len(labels) != len(content) + len(style) or len(content) != 1):
        raise ConfigError(
            "A colored mask labels all regions at once: give one for the content, and one for each style."
        )
    chosen: list[tuple[str, Tensor | None, list[_Use]]]
    if labels:
        if len(style) != count:
            raise ConfigError(
                f"{counted(count, 'style')} and {counted(len(style), 'colored style mask')}: give one for each style, "
                "to pair regions by color."
            )
        chosen = [
            (f"The content mask's {color}", mask, _of_color(color, style, shares)) for color, mask in content[0].items()
        ]
    elif not content:
        if style and len(style) != count:
            found = counted(len(style), "style mask")
            raise ConfigError(f"{counted(count, 'style')} and {found}. Give one for each style.")
        uses = [(number, share, style[number][""] if style else None) for number, share in enumerate(shares)]
        chosen = [("What is to be painted", None, uses)]
    else:
        chosen = _in_turn(content, style, shares)
    for number, areas in enumerate(style, start=1):
        for mask in areas.values():
            _require_area(f"Style mask {number}", mask, store)
    masks = _apart([mask for _, mask, _ in chosen], free, store)
    painted = [_require_area(name, mask, store) for (name, _, _), mask in zip(chosen, masks, strict=True)]
    weights = [area * _weight(uses, count) for area, (_, _, uses) in zip(painted, chosen, strict=True)]
    return tuple(
        Region(mask, weight / (sum(weights) or 1), _uses(uses))
        for mask, weight, (_, _, uses) in zip(masks, weights, chosen, strict=True)
    )


def _apart(masks: Sequence[Tensor | None], free: Tensor, store: TensorStore) -> list[Tensor]:
    """Masks that sum to at most `free`: where some overlap, each counts for its part. None is everywhere."""
    if masks == [None]:
        return [free]
    given = [mask for mask in masks if mask is not None]
    apart = [store.empty(free.shape) for _ in given]
    for allowed, *rows in iter_row_blocks(store, free, *given, *apart):
        before, after = rows[: len(given)], rows[len(given) :]
        whole = sum(before, start=torch.zeros_like(allowed)).clamp_(min=1)
        for mask, out in zip(before, after, strict=True):
            out.copy_(mask / whole * allowed)
    return apart


_Use = tuple[int, float, Tensor | None]


def _in_turn(
    content: Sequence[Areas], style: Sequence[Areas], shares: Sequence[float]
) -> list[tuple[str, Tensor | None, list[_Use]]]:
    """Gray masks, the first with the first, and so on."""
    count = len(shares)
    if style and len(style) != len(content):
        found = counted(len(style), "style mask")
        raise ConfigError(f"{counted(len(content), 'content mask')} and {found}. Give them in pairs.")
    if len(content) != count and not (style and count == 1):
        more = "" if style else ", or one style and a style mask for each region"
        found = f"{counted(len(content), 'content mask')} and {counted(count, 'style')}"
        raise ConfigError(f"{found}. Give a mask for each style{more}.")
    return [
        (
            f"Content mask {number + 1}",
            areas[""],
            [(number if count > 1 else 0, shares[number] if count > 1 else 1.0, style[number][""] if style else None)],
        )
        for number, areas in enumerate(content)
    ]


def _of_color(color: str, style: Sequence[Areas], shares: Sequence[float]) -> list[_Use]:
    uses: list[_Use] = [(number, shares[number], areas[color]) for number, areas in enumerate(style) if color in areas]
    if not uses:
        known = ", ".join(sorted({name for areas in style for name in areas})) or "none of its colors"
        raise ConfigError(f"No style mask has the content mask's {color}: they have {known}. Use the same colors.")
    return uses


def _weight(uses: Sequence[_Use], count: int) -> float:
    """How much a region counts for beside its area: what its styles do, over what they would on the average."""
    return count * sum(share for _, share, _ in uses) / len(uses)


def counted(count: int, thing: str) -> str:
    """So many of it, in words."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _uses(uses: Sequence[_Use]) -> tuple[StyleUse, ...]:
    whole = sum(share for _, share, _ in uses) or 1  # styles may have no share at all
    return tuple(StyleUse(number, share / whole, mask) for number, share, mask in uses)


def _require_area(name: str, mask: Tensor, store: TensorStore) -> float:
    area = sum(float(rows.sum(dtype=torch.float64)) for (rows,) in iter_row_blocks(store, mask)) / mask.numel()
    if area < LEAST_AREA:
        raise ConfigError(f"{name} is empty: nothing in it is white, or all of it is protected. Is a mask inverted?")
    return area
