"""Options of the picture as a whole: how strong the style is, its size and its edges."""

from __future__ import annotations

from typing import Literal

from impasto.config.groups import MAIN
from impasto.config.model import Options, option
from impasto.config.schedule import SUPERSAMPLED_PX, SUPERSAMPLES
from impasto.config.style_losses import describe_dense_losses
from impasto.config.types import Auto, Supersample
from impasto.config.wrap import Wrap

__all__ = ["PictureOptions"]


class PictureOptions(Options):
    """Options of the picture as a whole."""

    alpha: float = option(
        5.0,
        group=MAIN,
        label="Style strength (α)",
        ge=0,
        description="Strength of the style: Total = Content + alpha * Style. 1 keeps a photo with brush texture, 5 "
        "gives a painting, 100 is nearly abstract.",
        example=50,
    )
    size: int = option(
        512,
        group=MAIN,
        ge=1,
        le=100_000,
        description="Long side of the picture in pixels. A smaller photo is not enlarged, unless you give --enlarge.",
        example=40,
    )
    enlarge: bool = option(
        False, group=MAIN, description="Enlarge a photo that is smaller than the size.", example=True
    )
    supersample: Auto[Supersample] = option(
        None,
        group=MAIN,
        description="Factor by which the picture is painted larger and then reduced, for clean strokes. Twice as large "
        f"takes four times as long. auto: {SUPERSAMPLES['normal']:g}, or {SUPERSAMPLES['best']:g} with --effort best, "
        f"up to {SUPERSAMPLED_PX[1]} px as painted; 1 with --effort draft, below {SUPERSAMPLED_PX[0]} px, and with "
        f"other style losses than {describe_dense_losses()}.",
        example=1.5,
    )
    wrap: Wrap = option(
        "none",
        group=MAIN,
        label="Wrap the edges",
        description="Directions in which the edges of the picture meet, for a picture that repeats without a seam. x: "
        "left and right. y: top and bottom.",
        example="both",
    )
    content_seam: Literal["keep", "blend"] = option(
        "keep",
        group=MAIN,
        description="Edges of the photo, with --wrap. keep: as they are, so a jump from one to the other is painted. "
        "blend: without the jump, by a smooth change of colors.",
        example="blend",
    )
    panorama: bool = option(
        False,
        group=MAIN,
        description="Paint a panorama of 360° x 180° (equirectangular, twice as wide as high): without a seam, and "
        "without streaks at the poles.",
        example=True,
    )
