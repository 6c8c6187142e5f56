"""Networks as plain data: chains of named layers, and what a run takes from them. The networks are in `networks`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from impasto.config.style_losses import compares_neighbors, uses_dense_layers
from impasto.config.types import LayerWeight
from impasto.config.weights_sources import IMAGENET, InputConvention, WeightsFile, WeightsSource

__all__ = ["LARGE_PX", "Layer", "Network"]

LARGE_PX = 512
"""Long side above which a picture is large: the network sees less and less of it at once, so that content keeps
smaller and smaller detail, and a style is easily satisfied (benchmarks/large.py)."""


@dataclass(frozen=True)
class Layer:
    """One link of a chain. `inputs` and `outputs` are channels, zero where there are no weights."""

    name: str
    kind: Literal["conv", "relu", "pool"]
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    inputs: int = 0
    outputs: int = 0

    def output_px(self, input_px: int) -> int:
        """Return the number of positions along a side of `input_px`; below 1 means none."""
        return (input_px + 2 * self.padding - self.kernel) // self.stride + 1


@dataclass(frozen=True)
class Network:
    """A frozen chain of layers, the layers it is measured at, and the steps a picture needs.

    `content_layers` and `style_layers` are the published ones. The dense ones are for statistics that gain from more
    layers, `structure_layers` for content by self-similarity; without them, the published ones serve. `dense_strength`
    multiplies the relative style loss of dense layers, so that one α gives pictures as strong as with the published
    ones. `fourier_power` is how much descent prefers low frequencies: a first layer of stride 4 says little of high
    ones. `weights` can be loaded by name; the first is the default. `other_files` are known, but are not downloaded.
    """

    name: str
    layers: tuple[Layer, ...]
    content_layers: tuple[str, ...]
    style_layers: tuple[str, ...]
    iterations: int
    structure_layers: tuple[str, ...] = ()
    dense_content_layers: tuple[LayerWeight, ...] = ()
    dense_style_layers: tuple[LayerWeight, ...] = ()
    dense_strength: float = 1.0
    fourier_power: float = 1.0
    weights: tuple[WeightsSource, ...] = ()
    other_files: tuple[WeightsFile, ...] = ()

    def default_content_layers(self, style_loss: str, content_loss: str) -> tuple[LayerWeight, ...]:
        """Return the layers at which content is compared, with their weights."""
        if content_loss == "self-similarity" and self.structure_layers:
            return tuple(map(LayerWeight, self.structure_layers))
        gains = compares_neighbors(style_loss) or uses_dense_layers(style_loss)
        return (gains and self.dense_content_layers) or tuple(map(LayerWeight, self.content_layers))

    def default_style_layers(self, style_loss: str) -> tuple[LayerWeight, ...]:
        """Return the layers at which styles are compared, with their weights.

        Neighbors do without the deepest layer: Kolkin et al. 2022 (2203.13215) lose no quality without it.
        """
        published = tuple(map(LayerWeight, self.style_layers))
        if compares_neighbors(style_loss):
            return published[:-1] or published
        return (uses_dense_layers(style_loss) and self.dense_style_layers) or published

    def strength(self, size_px: int) -> float:
        """Return the factor of the relative style loss of dense layers, at a scale with this long side in pixels.

        It grows with the size of large pictures, so that one α gives paintings of one kind at every size.
        """
        return self.dense_strength * max(1.0, size_px / LARGE_PX)

    def convention(self, sha256: str) -> InputConvention:
        """Return the input that a file's weights expect, by its SHA-256; torchvision's if the file is not known."""
        files = [*(file for source in self.weights for file in source.files), *self.other_files]
        return next((file.convention for file in files if sha256.startswith(file.sha256)), IMAGENET)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every layer, from shallow to deep."""
        return tuple(layer.name for layer in self.layers)

    @cached_property
    def convolutions(self) -> tuple[Layer, ...]:
        """The layers that hold weights."""
        return tuple(layer for layer in self.layers if layer.kind == "conv")

    def deepest(self, layers: Iterable[str]) -> str:
        """Return the deepest of some layers."""
        return max(layers, key=self.names.index)

    def upto(self, deepest: str) -> tuple[Layer, ...]:
        """Return the layers up to and including `deepest`."""
        return self.layers[: self.names.index(deepest) + 1]

    @cached_property
    def can_wrap(self) -> bool:
        """True if every layer takes each pixel once, so that it can go on across the edges of a picture."""

        def goes_on(layer: Layer) -> bool:
            if layer.kind == "conv":
                return layer.stride == 1 and layer.kernel == 2 * layer.padding + 1
            return layer.kernel == layer.stride and layer.padding == 0

        return all(map(goes_on, self.layers))

    def output_px(self, layer: str, side_px: int) -> int:
        """Return the number of positions of `layer` along a side of `side_px`; 0 if it cannot be computed."""
        for link in self.upto(layer):
            side_px = link.output_px(side_px)
            if side_px < 1:
                return 0
        return side_px

    def stride(self, layer: str) -> int:
        """Return the distance in pixels between neighboring positions of `layer`."""
        return math.prod(link.stride for link in self.upto(layer))

    def channels(self, layer: str) -> int:
        """Return the number of channels of `layer`."""
        return next((link.outputs for link in reversed(self.upto(layer)) if link.outputs), 3)

    def minimum_px(self, layer: str) -> int:
        """Return the smallest image side at which `layer` has at least one position."""
        return next(side for side in range(1, 4096) if self.output_px(layer, side) >= 1)
