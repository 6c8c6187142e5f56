"""The options that shape the picture, each defined once: default, range, choices, help, theme and an example.

Flags, the studio's form, presets, recipes, sweeps and the documentation are generated from these fields. Invalid values
raise `ConfigError` or `LayerError`, never pydantic's own error. Nothing here needs torch.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import model_validator

from impasto.config import print_size
from impasto.config.checks import require_layers, require_shares
from impasto.config.model import Options, option
from impasto.config.networks import (
    COARSEST_PX,
    DEEP_WEIGHT,
    EFFORTS,
    LARGE_PX,
    MAX_STEPS,
    NEIGHBOR_COARSEST_PX,
    SETTLING_STEPS,
    UNSETTLED_FALL,
    NetworkName,
    architecture,
    default_scales,
    describe_by_network,
)
from impasto.config.style_losses import (
    STYLE_LOSSES,
    StyleLossName,
    compares_neighbors,
    describe_style_losses,
    uses_dense_layers,
)
from impasto.config.types import (
    Augmentation,
    Auto,
    FourierPower,
    Layers,
    Length,
    Lengths,
    Numbers,
    Pixels,
    ScaleCount,
    Share,
    Start,
    StepCount,
    format_layers,
)
from impasto.config.wrap import Wrap, require_wrapping, side_multiples
from impasto.errors import ConfigError

__all__ = ["Config", "ResolvedConfig"]

MAIN, MEASURE, STYLE = "Picture", "Content and style", "Strokes and surface"
START, DESCENT = "Noise", "Optimization"

_DENSE_LOSSES = " and ".join(name for name in STYLE_LOSSES if uses_dense_layers(name))
_CONTENT_LAYERS = describe_by_network(
    lambda network: format_layers(network.default_content_layers("centered", "squared"))
)
_STRUCTURE_LAYERS = describe_by_network(lambda network: ",".join(network.structure_layers))
_PUBLISHED_LAYERS = describe_by_network(lambda network: ",".join(network.content_layers))
_STYLE_LAYERS = describe_by_network(lambda network: f"{network.style_layers[0]} to {network.style_layers[-1]}")
_FOURIER_POWER = describe_by_network(lambda network: f"{network.fourier_power:g}")
_ITERATIONS = describe_by_network(lambda network: network.iterations)

FLAT_PALETTE_STRENGTH = 0.5
"""For paintings of flat colors: at 1, a red square leaves no trace of the photo (256 px)."""


class Config(Options):
    """The options that shape the picture."""

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
    network: NetworkName = option(
        "vgg19", group=MAIN, description="Pretrained network that measures content and style.", example="vgg16"
    )
    content_layers: Auto[Layers] = option(
        None,
        group=MEASURE,
        description=f"Layers to compare content at: NAME or NAME:WEIGHT, comma-separated. auto: {_CONTENT_LAYERS} with "
        f"--style-loss {_DENSE_LOSSES}; {_PUBLISHED_LAYERS} with others; {_STRUCTURE_LAYERS} with --content-loss "
        "self-similarity.",
        example="relu1_2",
    )
    style_layers: Auto[Layers] = option(
        None,
        group=MEASURE,
        description=f"Layers to compare style at: NAME or NAME:WEIGHT, comma-separated. auto: {_STYLE_LAYERS}; every "
        f"ReLU with --style-loss {_DENSE_LOSSES}, the deep ones at a weight of {DEEP_WEIGHT:g}; the first of each "
        "block with others.",
        example="relu1_2",
    )
    style_loss: StyleLossName = option(
        "centered",
        group=MEASURE,
        description=f"Statistic that styles are compared by. {describe_style_losses()}",
        example="mean-std",
    )
    content_loss: Literal["squared", "scaled", "self-similarity"] = option(
        "squared",
        group=MEASURE,
        description="Distance of features for content. squared: mean squared error. scaled: squared over absolute "
        "error, which pulls as hard near the content as far from it. self-similarity: distances between the places of "
        "one picture, which leaves its colors and textures to the style.",
        example="scaled",
    )
    content_weight: float = option(
        1.0, group=MEASURE, ge=0, description="Weight of content. 0 paints texture alone.", example=5
    )
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
    units: Literal["relative", "absolute"] = option(
        "relative",
        group=MEASURE,
        description="Units of the losses. relative: each loss is divided by the energy of its target, so that alpha "
        "means the same at every size and for every network. absolute: the published losses.",
        example="absolute",
    )
    pooling: Literal["max", "avg", "avg-rescaled"] = option(
        "max",
        group=MEASURE,
        description="Pooling in the network. avg-rescaled: averages times two, closer to what the network was trained "
        "on.",
        example="avg",
    )
    padding: Literal["zero", "replicate", "reflect"] = option(
        "replicate",
        group=MEASURE,
        description="Padding around the picture: zeros (as published, paints a frame), the edge pixels, or a mirror "
        "image.",
        example="zero",
    )
    init: Auto[Start] = option(
        None,
        group=MAIN,
        label="Start",
        description="Start of the target. recolored: the photo in the painting's colors. image: a picture given as "
        "input. auto: noise, or recolored for a painting of flat colors and with "
        "--content-loss self-similarity.",
        example="style",
    )
    init_noise: Literal["pink", "white"] = option(
        "pink", group=START, description="Spectrum of the noise. pink: 1/f, like photos.", example="white"
    )
    noise_std: float = option(
        0.02,
        group=START,
        ge=0,
        le=1,
        description="Standard deviation of the noise, for pixels between 0 and 1.",
        example=0.2,
    )
    seed: int = option(0, group=START, ge=0, lt=2**63, description="Seed of the noise.", example=3)
    optimizer: Literal["lbfgs", "adam"] = option(
        "lbfgs", group=DESCENT, description="Optimization algorithm.", example="adam"
    )
    parametrization: Literal["fourier", "pixels"] = option(
        "fourier",
        group=DESCENT,
        description="Variables to optimize: pixels, or Fourier coefficients weighted toward low frequencies, which "
        "need fewer steps and leave less grain.",
        example="pixels",
    )
    fourier_power: Auto[FourierPower] = option(
        None,
        group=DESCENT,
        description=f"Strength of that weighting: higher is smoother. auto: {_FOURIER_POWER}.",
        example=3,
    )
    clamp: bool = option(
        True,
        group=DESCENT,
        description="Clamp the target to [0, 1] before it is measured. Off: clamp the finished picture only.",
        example=False,
    )
    iterations: Auto[StepCount] = option(
        None,
        group=MAIN,
        label="Steps",
        description=f"Number of steps at full size. auto: {_ITERATIONS}; by --effort. More, up to {MAX_STEPS}, while "
        f"the loss falls by over {UNSETTLED_FALL:.0%} in {SETTLING_STEPS} steps.",
        example=3,
    )
    effort: Literal["draft", "normal", "best"] = option(
        "normal",
        group=MAIN,
        description=f"Time to spend, where --iterations is auto: draft has {EFFORTS['draft']:g} times the steps, best "
        f"{EFFORTS['best']:g} times, for cleaner strokes.",
        example="best",
    )
    scales: Auto[ScaleCount] = option(
        None,
        group=DESCENT,
        description="Number of sizes, each twice the one before; the coarse ones paint large structure. auto: from "
        f"about {COARSEST_PX} px, or {NEIGHBOR_COARSEST_PX} with --style-loss neighbor. 1: full size only.",
        example=2,
    )
    detail_transfer: Auto[Share] = option(
        None,
        group=DESCENT,
        description="Share of the photo's fine detail that is added when the target is enlarged, which saves a tenth "
        "of the steps. auto: 1; 0 where the style is to paint the detail: with --style-loss neighbor, and above "
        f"{LARGE_PX} px with {_DENSE_LOSSES}.",
        example=0.5,
    )
    lbfgs_history: int = option(
        20,
        group=DESCENT,
        label="L-BFGS history",
        ge=1,
        le=1000,
        description="Number of steps that L-BFGS remembers.",
        example=1,
    )
    learning_rate: float = option(0.05, group=DESCENT, gt=0, le=100, description="Step size of Adam.", example=0.3)
    print: print_size.PrintSize = print_size.PRINT
    dpi: print_size.Resolution = print_size.DPI
    fit: print_size.Fit = print_size.FIT
    bleed: print_size.Millimeters = print_size.BLEED

    @model_validator(mode="after")
    def _check(self) -> Self:
        network = architecture(self.network)
        require_layers("content_layers", self.content_layers, network)
        require_layers("style_layers", self.style_layers, network)
        require_wrapping(self.wrap, network)
        require_shares(self.style_weights)
        if not self.style_scale:
            raise ConfigError("style_scale is empty. Write 1, or a size for each style.")
        if self.alpha == 0 and self.content_weight == 0:
            raise ConfigError("alpha and content_weight are both 0: nothing is left to paint. Raise one of them.")
        is_open = not isinstance(self, ResolvedConfig)
        if is_open and self.iterations is not None and self.effort != "normal":
            raise ConfigError("effort and iterations both set the number of steps: leave one of them out.")
        if not is_open and self.content_seam == "blend" and self.wrap == "none":
            raise ConfigError("content_seam = 'blend' needs edges that meet: give wrap too, or leave it out.")
        if self.panorama and self.wrap != "none":
            raise ConfigError("The edges of a panorama meet by themselves: leave out wrap.")
        if self.panorama and self.print != print_size.NO_PRINT and self.fit == "crop":
            raise ConfigError("A panorama cannot be cropped to paper. Use fit = 'inside' or 'pad', or size.")
        if self.color == "luminance" and (self.palette_strength or self.recolor_content):
            raise ConfigError(
                "color = 'luminance' keeps the photo's colors: leave out palette_strength and recolor_content."
            )
        if self.print != print_size.NO_PRINT:
            self._require_print()
        return self

    def _require_print(self) -> None:
        if self.size != Config.model_fields["size"].default:
            raise ConfigError("print and size both set the pixels: leave one of them out. For a proof, lower dpi.")
        if self.bleed and self.fit == "inside":
            raise ConfigError("fit = 'inside' has no paper to bleed into. Use crop or pad, or leave out bleed.")
        print_size.require_px(print_size.parse_paper(self.print), self.bleed, self.dpi)

    @property
    def longest_px(self) -> int:
        """The long side of the picture, or of the print with its bleed. A small photo may give less."""
        if self.print == print_size.NO_PRINT:
            return self.size
        return max(print_size.parse_paper(self.print).size_px(self.dpi, self.bleed))

    def overrides(self) -> dict[str, Any]:
        """Return the options that differ from the defaults, as JSON has them."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def resolve(self, height: int, width: int, *, styles: int = 1, flat: bool = False) -> ResolvedConfig:
        """Fill in each value that was left open, for a target of this size in pixels.

        `flat` tells that the styles are flat colors with little detail.
        """
        network, by_neighbors = architecture(self.network), compares_neighbors(self.style_loss)
        paints_detail = uses_dense_layers(self.style_loss) and max(height, width) > LARGE_PX
        values: dict[str, Any] = {
            "content_layers": network.default_content_layers(self.style_loss, self.content_loss),
            "style_layers": network.default_style_layers(self.style_loss),
            "style_weights": (1.0,) * styles,
            "fourier_power": network.fourier_power,
            "init": "recolored" if flat or self.content_loss == "self-similarity" else "noise",
            "detail_transfer": 0.0 if by_neighbors or paints_detail else 1.0,
            "iterations": round(EFFORTS[self.effort] * network.iterations),
            "palette_strength": (FLAT_PALETTE_STRENGTH if flat else 1.0) if self.color == "palette" else 0.0,
        }
        values |= {name: value for name, value in self if value is not None}
        if self.scales is None:
            layers = [layer.name for layer in (*values["content_layers"], *values["style_layers"])]
            coarsest_px = NEIGHBOR_COARSEST_PX if by_neighbors else COARSEST_PX
            values["scales"] = default_scales(height, width, max(map(network.minimum_px, layers)), coarsest_px)
        return ResolvedConfig(**values)


class ResolvedConfig(Config):
    """A config in which no value is left open: what a run of one size works with."""

    content_layers: Layers
    style_layers: Layers
    style_weights: Numbers
    fourier_power: FourierPower
    iterations: StepCount
    scales: ScaleCount
    palette_strength: Share
    init: Start
    detail_transfer: Share

    @property
    def side_multiples(self) -> tuple[int, int]:
        """The numbers that the height and the width of the target are multiples of, because edges meet."""
        layers = [name for name, _ in (*self.content_layers, *self.style_layers)]
        return side_multiples(self.wrap, architecture(self.network), layers)

    def resolve(self, height: int, width: int, *, styles: int = 1, flat: bool = False) -> ResolvedConfig:
        """Return itself: there is nothing to fill in."""
        return self
