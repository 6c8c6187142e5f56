"""The options that shape the picture, each defined once: default, range, choices, help, group and an example.

Flags, the studio's form, presets, recipes, sweeps and the documentation are generated from these fields. Invalid values
raise `ConfigError` or `LayerError`, never pydantic's own error. Nothing here needs torch.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import model_validator

from impasto.config import print_size
from impasto.config.checks import require_layers, require_shares
from impasto.config.descent_options import DescentOptions
from impasto.config.layer_chain import LARGE_PX
from impasto.config.measure_options import MeasureOptions
from impasto.config.networks import architecture
from impasto.config.picture_options import PictureOptions
from impasto.config.schedule import (
    COARSEST_PX,
    EFFORTS,
    NEIGHBOR_COARSEST_PX,
    default_scales,
    default_supersample,
)
from impasto.config.style_losses import compares_neighbors, uses_dense_layers
from impasto.config.style_options import FLAT_PALETTE_STRENGTH, StyleOptions
from impasto.config.types import FourierPower, Layers, Numbers, ScaleCount, Share, Start, StepCount, Supersample
from impasto.config.wrap import require_wrapping, side_multiples
from impasto.errors import ConfigError

__all__ = ["Config", "ResolvedConfig"]


class Config(DescentOptions, StyleOptions, MeasureOptions, PictureOptions):
    """The options that shape the picture. Those of the last base come first."""

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
            raise ConfigError("`effort` and `iterations` both set the number of steps: leave one of them out.")
        if not is_open and self.content_seam == "blend" and self.wrap == "none":
            raise ConfigError("content_seam = 'blend' needs edges that meet: give `wrap` too, or leave it out.")
        if self.content_calm and self.content_loss == "self-similarity":
            raise ConfigError("content_calm weighs squared errors: leave it out with content_loss = 'self-similarity'.")
        if self.panorama and self.wrap != "none":
            raise ConfigError("The edges of a panorama meet by themselves: leave out `wrap`.")
        if self.panorama and self.print != print_size.NO_PRINT and self.fit == "crop":
            raise ConfigError("A panorama cannot be cropped to paper. Use fit = 'inside' or 'pad', or `size`.")
        if self.color == "luminance" and (self.palette_strength or self.recolor_content):
            raise ConfigError(
                "color = 'luminance' keeps the photo's colors: leave out palette_strength and recolor_content."
            )
        if self.print != print_size.NO_PRINT:
            self._require_print()
        return self

    def _require_print(self) -> None:
        if self.size != Config.model_fields["size"].default:
            raise ConfigError(
                "`print` and `size` both set the pixels: leave one of them out. For a proof, lower `dpi`."
            )
        if self.bleed and self.fit == "inside":
            raise ConfigError("fit = 'inside' has no paper to bleed into. Use crop or pad, or leave out `bleed`.")
        print_size.require_px(print_size.parse_paper(self.print), self.bleed, self.dpi)

    @property
    def longest_px(self) -> int:
        """The long side of the picture, or of the print with its bleed. A small photo may give less."""
        if self.print == print_size.NO_PRINT:
            return self.size
        return max(print_size.parse_paper(self.print).size_px(self.dpi, self.bleed))

    @property
    def painted_px(self) -> int:
        """The long side at which a large photo is painted, for which samples are drawn."""
        return round(self.longest_px * self.supersample_at(self.longest_px, self.longest_px))

    def overrides(self) -> dict[str, Any]:
        """Return the options that differ from the defaults, as JSON has them."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def supersample_at(self, height: int, width: int) -> float:
        """Return how many times larger than it becomes a picture of this size is painted."""
        if self.supersample is not None:
            return self.supersample
        return default_supersample(height, width, self.effort) if uses_dense_layers(self.style_loss) else 1.0

    def resolve(
        self, height: int, width: int, *, styles: int = 1, flat: bool = False, supersample: float = 1.0
    ) -> ResolvedConfig:
        """Fill in each value that was left open, for a target of this size in pixels.

        `flat` tells that the styles are flat colors with little detail; `supersample` is what `supersample_at` returned
        for the size of the picture.
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
            "supersample": supersample,
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
    supersample: Supersample = 1.0

    @property
    def side_multiples(self) -> tuple[int, int]:
        """The numbers that the height and the width of the target are multiples of, because edges meet."""
        layers = [name for name, _ in (*self.content_layers, *self.style_layers)]
        return side_multiples(self.wrap, architecture(self.network), layers)

    def resolve(
        self, height: int, width: int, *, styles: int = 1, flat: bool = False, supersample: float = 1.0
    ) -> ResolvedConfig:
        """Return itself: there is nothing to fill in."""
        return self
