"""Which style, or which part of one, each mask of the content is painted from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from impasto.errors import ConfigError
from impasto.regions import Region, StyleUse

__all__ = ["Areas", "regions_of"]

LEAST_AREA = 1e-5
"""Share of a picture below which a mask is taken for an empty one."""

Areas = Mapping[str, Tensor]
"""The masks that one image holds, by color, such as `#ff0000`; a gray image holds one, of no color."""


def regions_of(
    content: Sequence[Areas], style: Sequence[Areas], shares: Sequence[float], free: Tensor
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
    if labels:
        if len(style) != count:
            raise ConfigError(
                f"{count} styles and {len(style)} colored style masks: give one for each, to pair regions by color."
            )
        chosen = [
            (f"The content mask's {color}", mask, _of_color(color, style, shares)) for color, mask in content[0].items()
        ]
    elif not content:
        if style and len(style) != count:
            raise ConfigError(f"{count} styles and {len(style)} style masks. Give one for each style.")
        uses = [(number, share, style[number][""] if style else None) for number, share in enumerate(shares)]
        chosen = [("The picture", torch.ones_like(free), uses)]
    else:
        chosen = _in_turn(content, style, shares)
    for number, areas in enumerate(style, start=1):
        for mask in areas.values():
            _require_area(f"Style mask {number}", mask)
    # Where masks overlap, each counts for its part.
    whole = torch.stack([mask for _, mask, _ in chosen]).sum(dim=0).clamp(min=1)
    masks = [mask / whole * free for _, mask, _ in chosen]
    painted = [_require_area(name, mask) for (name, _, _), mask in zip(chosen, masks, strict=True)]
    weights = [area * _weight(uses, count) for area, (_, _, uses) in zip(painted, chosen, strict=True)]
    return tuple(
        Region(mask, weight / (sum(weights) or 1), _uses(uses))
        for mask, weight, (_, _, uses) in zip(masks, weights, chosen, strict=True)
    )


_Use = tuple[int, float, Tensor | None]


def _in_turn(
    content: Sequence[Areas], style: Sequence[Areas], shares: Sequence[float]
) -> list[tuple[str, Tensor, list[_Use]]]:
    """Gray masks, the first with the first, and so on."""
    count = len(shares)
    if style and len(style) != len(content):
        raise ConfigError(f"{len(content)} content masks and {len(style)} style masks. Give them in pairs.")
    if len(content) != count and not (style and count == 1):
        more = "" if style else ", or one style and a style mask for each region"
        raise ConfigError(f"{len(content)} content masks and {count} styles. Give a mask for each style{more}.")
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


def _uses(uses: Sequence[_Use]) -> tuple[StyleUse, ...]:
    whole = sum(share for _, share, _ in uses) or 1  # styles may have no share at all
    return tuple(StyleUse(number, share / whole, mask) for number, share, mask in uses)


def _require_area(name: str, mask: Tensor) -> float:
    area = float(mask.mean())
    if area < LEAST_AREA:
        raise ConfigError(f"{name} is empty: nothing in it is white, or all of it is protected. Is it inverted?")
    return area
