"""Every option, once: its default, range, choices and help.

Three frozen models. `Config` is what shapes the picture and never holds a path. `Inputs` holds the
pictures and weights. `RunOptions` is how the run is carried out. Flags, presets, the recipe and the
documentation are generated from their fields, so an option that is added here is known everywhere.
Bad values raise `ConfigError` or `LayerError`, never pydantic's own error. Nothing here needs torch.
"""

from __future__ import annotations

import difflib
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from impasto.config.networks import architecture, default_scales
from impasto.config.types import (
    AUTO,
    Auto,
    Bytes,
    FourierPower,
    Layers,
    LayerWeight,
    Length,
    Lengths,
    Numbers,
    ScaleCount,
    StepCount,
)
from impasto.errors import ConfigError, LayerError

__all__ = ["Config", "Inputs", "Options", "Plan", "ResolvedConfig", "RunOptions"]


def _explain(error: ValidationError, options: type[BaseModel]) -> str:
    """The first complaint of a `ValidationError` as one line: what came, what was wanted."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, options.model_fields, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(sorted(options.model_fields))}."
        return f"{name!r} is not an option of {options.__name__}. {hint}"
    if first["type"] == "missing":
        return f"{name} is missing. Give a {name}."
    wanted = first["msg"].removeprefix("Value error, ")
    field = options.model_fields.get(name)
    choice = ", or auto" if field is not None and AUTO in field.metadata else ""
    return f"{name} = {first['input']!r} is refused: {wanted[0].lower()}{wanted[1:]}{choice}."


class Options(BaseModel):
    """A frozen model whose complaints are one clear line each."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _one_clear_line(cls, data: Any, handler: Any) -> Self:
        try:
            checked: Self = handler(data)
        except ValidationError as error:
            raise ConfigError(_explain(error, cls)) from None
        return checked


class Config(Options):
    """What shapes the picture."""

    alpha: float = Field(
        5.0,
        ge=0,
        description="Style against content: Total = Content + alpha * Style. "
        "1 is a photograph with brush texture, 5 a painting, 100 nearly abstract.",
    )
    size: int = Field(512, ge=1, le=100_000, description="Long side of the picture, in pixels.")
    enlarge: bool = Field(False, description="Enlarge content that is smaller than the size asked for.")
    network: Literal["vgg19", "vgg19:torchvision", "vgg16", "alexnet"] = Field(
        "vgg19", description="The pretrained network that measures content and style."
    )
    content_layers: Auto[Layers] = Field(
        None,
        description="Layers that hold content: NAME or NAME:WEIGHT, comma-separated. "
        "auto: relu4_2 (VGG), relu3 (AlexNet).",
    )
    style_layers: Auto[Layers] = Field(
        None,
        description="Layers that hold style, likewise. auto: relu1_1 to relu5_1 (VGG), relu1 to relu5 (AlexNet).",
    )
    style_loss: Literal["gram", "covariance", "mean-std", "wasserstein", "sliced-wasserstein", "nearest"] = Field(
        "gram",
        description="What two styles are compared by. gram: correlations of channels. covariance: the same around "
        "their means. mean-std: means and deviations alone. wasserstein: distance of the Gaussians. "
        "sliced-wasserstein: distributions along many directions. nearest: each feature with the style's most alike, "
        "and back. The last two are slower, and look at whole pictures only.",
    )
    content_loss: Literal["squared", "scaled"] = Field(
        "squared",
        description="What content is compared by: the squared error, or that over the absolute one, which pulls "
        "as hard near the content as far from it.",
    )
    content_weight: float = Field(1.0, ge=0, description="Weight of content; 0 paints texture alone.")
    style_weights: Auto[Numbers] = Field(
        None, description="Shares of several styles, comma-separated, such as 2,1. auto: equal shares."
    )
    style_scale: Lengths = Field(
        (Length(1.0),),
        description="Long side of the style image over that of the picture, or in pixels (300px), where the style "
        "image is large enough: 0.5 gives finer strokes, 2 broader ones. Comma-separated, one for each style.",
    )
    color: Literal["style", "luminance", "match"] = Field(
        "style",
        description="Whose colors the picture has: the style's; the content's, by painting luminance alone; or the "
        "content's, by matching the style's colors to them first.",
    )
    color_transfer: Literal["cholesky", "pca", "ot", "histogram"] = Field(
        "ot",
        description="How colors are matched. ot moves them least; histogram matches each channel's distribution.",
    )
    tv_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of total variation, the squared difference of neighboring pixels: smooths. A mean in "
        "relative units, where 10 is worth trying; a sum in absolute ones.",
    )
    tv_norm: Literal["squared", "absolute", "mean-squared"] = Field(
        "squared",
        description="Whether total variation squares differences, or takes them as they are. mean-squared: a mean "
        "in absolute units too.",
    )
    laplacian_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of the Laplacian: holds the content's lines and edges, where 1 is worth trying.",
    )
    units: Literal["relative", "absolute"] = Field(
        "relative",
        description="relative: each loss is divided by what it is measured against, so that alpha means the "
        "same at every size and for every network. absolute: the published, unscaled losses.",
    )
    pooling: Literal["max", "avg", "avg-rescaled"] = Field(
        "max",
        description="How the network's pooling layers pool. avg-rescaled: averages doubled, nearer to what the "
        "network was trained on.",
    )
    padding: Literal["zero", "replicate", "reflect"] = Field(
        "replicate",
        description="What the network sees beyond the picture's edges: zeros (as published), the last pixels, or "
        "a mirror.",
    )
    init: Literal["noise", "content", "style", "image"] = Field(
        "noise", description="What the target starts as. image: a picture given as input."
    )
    init_noise: Literal["pink", "white"] = Field("pink", description="Color of the noise; pink is 1/f, like pictures.")
    noise_std: float = Field(0.02, ge=0, le=1, description="Strength of the noise, of a range of 1.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the noise.")
    optimizer: Literal["lbfgs", "adam"] = Field("lbfgs", description="The method of descent.")
    parametrization: Literal["fourier", "pixels"] = Field(
        "fourier",
        description="What descends: pixels, or their Fourier coefficients weighted towards low frequencies, "
        "which needs fewer steps and leaves less grain.",
    )
    fourier_power: Auto[FourierPower] = Field(
        None, description="How strongly: more is smoother. auto: 1 (VGG), 2 (AlexNet, else it leaves grain)."
    )
    clamp: bool = Field(
        True,
        description="Measure the target clamped to [0, 1], as it will be written; off: clamp at the end only.",
    )
    iterations: Auto[StepCount] = Field(
        None, description="Steps at full size. auto: 45 (VGG), 200 (AlexNet), and more above 512 px."
    )
    scales: Auto[ScaleCount] = Field(
        None,
        description="Sizes to go through, each twice the one before; coarse ones give large structure. "
        "auto: down to 96 px. 1 paints at full size only.",
    )
    detail_transfer: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the content's fine detail that is lent to the target when it is enlarged, "
        "which saves a tenth of the steps; 0: none.",
    )
    lbfgs_history: int = Field(20, ge=1, le=1000, description="Steps that L-BFGS remembers.")
    learning_rate: float = Field(0.05, gt=0, le=100, description="Step size of Adam.")

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        chain = architecture(self.network)
        for field in ("content_layers", "style_layers"):
            layers: tuple[LayerWeight, ...] | None = getattr(self, field)
            if layers is None:
                continue
            for layer in layers:
                if layer.name not in chain.names:
                    near = difflib.get_close_matches(layer.name, chain.names, n=1)
                    hint = f"Did you mean {near[0]}?" if near else f"It has {', '.join(chain.names)}."
                    raise LayerError(f"{field}: {chain.name} has no layer {layer.name!r}. {hint}")
            if not any(layer.weight for layer in layers):
                raise LayerError(f"{field}: every weight is 0. Give at least one layer a positive weight.")
        shares = self.style_weights
        if shares is not None and any(not 0 <= share < float("inf") for share in shares):
            raise ConfigError(f"style_weights = {shares} is out of range: give shares of 0 or more.")
        if shares is not None and not any(shares):
            raise ConfigError("style_weights: every share is 0. Give at least one style a positive one.")
        if not self.style_scale:
            raise ConfigError("style_scale is empty. Write 1, or a size for each style.")
        if self.alpha == 0 and self.content_weight == 0:
            raise ConfigError("alpha and content_weight are both 0: nothing is left to paint. Raise one of them.")
        return self

    def overrides(self) -> dict[str, Any]:
        """Return the options that differ from the defaults, as JSON has them."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def resolve(self, height: int, width: int, *, styles: int = 1) -> ResolvedConfig:
        """Fill in each value that was left open, for a target of this size in pixels."""
        network = architecture(self.network)
        values: dict[str, Any] = {
            "content_layers": tuple(map(LayerWeight, network.content_layers)),
            "style_layers": tuple(map(LayerWeight, network.style_layers)),
            "style_weights": (1.0,) * styles,
            "fourier_power": network.fourier_power,
            "iterations": network.steps(max(height, width)),
        }
        values |= {name: value for name, value in self if value is not None}
        if self.scales is None:
            layers = [layer.name for layer in (*values["content_layers"], *values["style_layers"])]
            values["scales"] = default_scales(height, width, max(map(network.minimum_px, layers)))
        return ResolvedConfig(**values)


class ResolvedConfig(Config):
    """A config in which no value is left open: what a run of one size works with."""

    content_layers: Layers
    style_layers: Layers
    style_weights: Numbers
    fourier_power: FourierPower
    iterations: StepCount
    scales: ScaleCount

    def resolve(self, height: int, width: int, *, styles: int = 1) -> ResolvedConfig:
        """Return itself: there is nothing to fill in."""
        return self


class Inputs(Options):
    """The pictures and weights that a run starts from.

    A picture is a path, a PIL image, an array or tensor (H, W), (H, W, C), (C, H, W) or (1, C, H, W).
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    content: Any = Field(description="What is depicted.")
    styles: tuple[Any, ...] = Field(min_length=1, description="How it looks: one picture, or several to blend.")
    init: Any = Field(None, description="A picture to start from, where init = image.")
    content_masks: tuple[Any, ...] = Field(
        (),
        description="Where each style goes: white there; soft edges blend. Or one image that labels regions by color.",
    )
    style_masks: tuple[Any, ...] = Field(
        (), description="What part of its style each region is painted from; by color likewise."
    )
    protect: Any = Field(None, description="What stays as it is: white there.")
    weights: Any = Field(None, description="A file of weights in place of the network's own.")


class Plan(Options):
    """What `auto` came to. Kept in the recipe, so that the same machine gives the same bytes again."""

    device: Literal["cpu", "cuda", "mps"]
    precision: Literal["float32", "bfloat16"] = "float32"
    evaluator: Literal["autograd", "chained"] = "autograd"
    winograd: int = Field(0, ge=0, description="Channels from which 3x3 convolutions are Winograd's; 0: none.")
    block: int = Field(0, ge=0, description="Side of the blocks that pictures are measured in, in pixels; 0: whole.")
    lbfgs_history: int = Field(0, ge=0, description="Steps that L-BFGS remembers; 0: as configured.")
    scratch: bool = Field(False, description="Whether long vectors are kept on disk.")
    threads: int = Field(ge=1, le=1024)
    torch: str


class RunOptions(Options):
    """How a run is carried out."""

    device: Auto[Literal["cpu", "cuda", "mps"]] = Field(None, description="Where to compute.")
    precision: Auto[Literal["float32", "bfloat16"]] = Field(
        None,
        description="Of the convolutions. auto times both and takes bfloat16 where it is faster; "
        "the last steps and all reported losses are float32 anyway.",
    )
    threads: Auto[int] = Field(None, ge=1, le=1024, description="Processor threads. auto leaves it to torch.")
    memory: Auto[Bytes] = Field(
        None,
        ge=1,
        description="Memory to stay within, such as 4GB: large pictures are then measured in blocks, exactly, "
        "and kept on disk. auto: a safe share of what is free.",
    )
    max_megapixels: float = Field(
        250.0, gt=0, description="Pictures that claim more pixels than this are refused before decoding."
    )
    bits: Literal[8, 16] = Field(8, description="Bits per channel of the output; 16 for PNG and TIFF.")
    quality: int = Field(95, ge=1, le=100, description="Quality of JPEG and WebP output.")
    save_every: Auto[int] = Field(
        None, ge=1, description="Write the picture so far beside the output every N steps. Without it: never."
    )
