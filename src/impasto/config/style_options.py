"""Options of the painting's part: its strokes, its colors, and the surface of the picture."""

from __future__ import annotations

from typing import Literal

from impasto.config.groups import MAIN, STYLE
from impasto.config.model import Options, option
from impasto.config.types import Augmentation, Auto, Length, Lengths, Numbers, Pixels, Share

__all__ = ["FLAT_PALETTE_STRENGTH", "StyleOptions"]

FLAT_PALETTE_STRENGTH = 0.5
"""For paintings of flat colors: at 1, a red square leaves no trace of the photo (256 px)."""


class StyleOptions(Options):
    """Options of the painting's part."""

    style_weights: Auto[Numbers] = option(
        None,
        group=STYLE,
        description="Shares of several styles, comma-separated, such as 2,1. auto: equal shares.",
        example="2",
    )
    style_scale: Lengths = option(
        (Length(1.0),),
        group=STYLE,
        description="Long side of the style image relative to the picture, or in pixels (300px): 0.5 gives finer "
        "strokes, 2 broader ones. Small style images are not enlarged, unless you give --enlarge-style. "
        "Comma-separated, one for each style.",
        example=0.5,
    )
    enlarge_style: bool = option(
        False,
        group=STYLE,
        description="Enlarge a painting that is smaller than the style scale asks for, up to 4 times: its strokes "
        "become as broad as those of a larger one, but softer.",
        example=True,
    )
    style_augment: Augmentation = option(
        "none",
        group=STYLE,
        description="Views of the style that are measured together: as it is, with its mirror image, or turned by "
        "quarters. For strokes and parts in more directions than the painting has.",
        example="rotate",
    )
    color: Literal["palette", "style", "luminance", "match"] = option(
        "palette",
        group=MAIN,
        label="Colors",
        description="Source of the colors. palette: the painting; colors that it does not have are moved to its "
        "nearest ones. style: the painting, as they come. luminance: the photo, by painting brightness alone. match: "
        "the photo, by matching the painting's colors to it first.",
        example="luminance",
    )
    color_transfer: Literal["cholesky", "pca", "ot", "histogram"] = option(
        "ot",
        group=STYLE,
        description="Method for --color match. ot changes colors least; histogram matches the distribution of each "
        "channel.",
        example="histogram",
    )
    palette_strength: Auto[Share] = option(
        None,
        group=STYLE,
        description="How far the painted colors are moved at the end to the nearest ones of the painting, from 0 to 1. "
        f"auto: 1 with --color palette, but {FLAT_PALETTE_STRENGTH:g} where the start is auto and the painting is of "
        "flat colors, as 1 would hide the photo; otherwise 0.",
        example=0.5,
    )
    bleed_alpha: Pixels = option(
        0,
        group=STYLE,
        label="Bleed under transparent parts",
        description="Paint this many pixels beyond the edge of the photo's opaque parts, such as 8px, and continue "
        "those colors under the rest, so that islands of a UV map have no rim. The alpha channel stays as it is.",
        example=8,
    )
    recolor_content: bool = option(
        False,
        group=STYLE,
        description="Give the photo the painting's colors before it is measured. Helps where both have very different "
        "ones.",
        example=True,
    )
    tv_weight: float = option(
        0.0,
        group=STYLE,
        label="Weight of total variation",
        ge=0,
        description="Weight of total variation, which smooths: the squared difference of neighboring pixels. A mean "
        "in relative units, where 10 is a good start; a sum in absolute units.",
        example=100,
    )
    tv_norm: Literal["squared", "absolute", "mean-squared"] = option(
        "squared",
        group=STYLE,
        label="Total variation",
        description="Form of total variation: squared or absolute differences. mean-squared: a mean in absolute units "
        "too.",
        example="absolute",
    )
    laplacian_weight: float = option(
        0.0,
        group=STYLE,
        ge=0,
        description="Weight of the Laplacian loss, which keeps lines and edges of the photo. 1 is a good start.",
        example=10,
    )
