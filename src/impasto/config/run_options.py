"""The inputs of a run, the options of its execution, and the `Plan` that is made of both."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from impasto.config.model import Options, option
from impasto.config.types import Auto, Bytes

__all__ = [
    "BUILT_IN_PROFILES",
    "CHECKPOINT_INTERVAL_S",
    "FILM_S",
    "MAX_MEGAPIXELS",
    "SRGB",
    "Inputs",
    "Intent",
    "Plan",
    "RunOptions",
]

MACHINE, FILES = "Speed and memory", "Files"

SRGB = "srgb"
BUILT_IN_PROFILES = (SRGB, "p3", "cmyk")
"""Color profiles that come with libvips, by name."""

Intent = Literal["perceptual", "relative", "saturation", "absolute"]

MAX_MEGAPIXELS = 250.0
CHECKPOINT_INTERVAL_S = 60.0
FILM_S = 6.0
"""Default length of a film, in seconds."""


def _profile_as_text(value: Any) -> Any:
    """Return a path, or a built-in profile's name in any case, as text."""
    text = str(value)
    return text.lower() if text.lower() in BUILT_IN_PROFILES else text


class Inputs(Options):
    """The pictures and weights that a run starts from.

    A picture is a path, a PIL image, an array or tensor (H, W), (H, W, C), (C, H, W) or (1, C, H, W).
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    content: Any = Field(description="The photo: what the picture shows.")
    styles: tuple[Any, ...] = Field(
        min_length=1, description="The painting: how the picture looks. Several are blended."
    )
    init: Any = Field(None, description="Picture to start from, with init = image.")
    content_masks: tuple[Any, ...] = Field(
        (),
        description="Gray masks, white where a style applies. Or one mask that labels regions by color.",
    )
    style_masks: tuple[Any, ...] = Field(
        (), description="Part of a style to use for each region: gray masks, or labels in the same colors."
    )
    protect: Any = Field(None, description="Gray mask, white where the photo stays unchanged.")
    weights: Any = Field(None, description="Weights file to use in place of the network's own.")


class Plan(Options):
    """The choices for one machine, kept in the recipe: the same plan gives the same bytes on the same machine."""

    device: Literal["cpu", "cuda", "mps"]
    precision: Literal["float32", "bfloat16"] = "float32"
    engine: Literal["autograd", "manual"] = "autograd"
    winograd_channels: int | None = Field(
        None, ge=1, description="Channels from which 3x3 convolutions use Winograd's algorithm. None: never."
    )
    kernels: str | None = Field(
        None, description="Instruction set of the compiled kernels. None: PyTorch's own operations."
    )
    tile_px: int | None = Field(None, ge=1, description="Side of the tiles, in pixels. None: the whole picture.")
    join: str | None = Field(
        None, description="Pooling at which tiles are put together, and the network goes on as a whole. None: none."
    )
    lbfgs_history: int | None = Field(None, ge=1, description="Steps that L-BFGS remembers. None: as configured.")
    on_disk: bool = Field(False, description="Keep large tensors on disk.")
    threads: int = Field(ge=1, le=1024)
    torch: str


class RunOptions(Options):
    """The options of how a run is carried out."""

    device: Auto[Literal["cpu", "cuda", "mps"]] = option(
        None, group=MACHINE, description="Device to compute on. auto: a graphics card if there is one.", example="cpu"
    )
    precision: Auto[Literal["float32", "bfloat16"]] = option(
        None,
        group=MACHINE,
        description="Number format of the convolutions. auto: the faster one, by a short timing. The last steps and "
        "all reported losses are float32 in any case.",
        example="float32",
    )
    threads: Auto[int] = option(
        None, group=MACHINE, ge=1, le=1024, description="Number of processor threads. auto: torch chooses.", example=1
    )
    memory: Auto[Bytes] = option(
        None,
        group=MACHINE,
        ge=1,
        description="Memory limit, such as 4GB. Larger pictures are measured in tiles and kept on disk, with exact "
        "results. auto: a safe share of the free memory.",
        example="4GB",
    )
    max_megapixels: float = option(
        MAX_MEGAPIXELS,
        group=FILES,
        gt=0,
        description="Refuse pictures with more megapixels, before decoding them.",
        example=50,
    )
    bits: Literal[8, 16] = option(
        8, group=FILES, description="Bits per channel of the output. 16 needs PNG or TIFF.", example=16
    )
    profile: Annotated[str, BeforeValidator(_profile_as_text)] = option(
        SRGB,
        group=FILES,
        label="Color profile",
        description="Color profile to convert the output to, and to embed: a FILE.icc of a printer and paper, RGB, or "
        "CMYK for TIFF; or srgb, p3, or cmyk, a general press.",
        example="p3",
    )
    intent: Intent = option(
        "relative",
        group=FILES,
        label="Rendering intent",
        description="Conversion of colors that the profile cannot show. relative: keep the others, and map black to "
        "black. perceptual: shift all, keeping their distances. saturation: keep them strong. absolute: show the "
        "screen's white on the paper too.",
        example="perceptual",
    )
    quality: int = option(95, group=FILES, ge=1, le=100, description="Quality of JPEG and WebP output.", example=80)
    save_every: Auto[int] = option(
        None,
        group=FILES,
        ge=1,
        description="Save the unfinished picture beside the output every N steps. auto: never.",
        example=10,
    )
