"""The networks as plain data: chains of convolution, ReLU and pooling with named layers.

Names are those of the papers: `conv3_1`, `relu4_2`, `pool2` for VGG; `conv1` … `pool5` for AlexNet.
Nothing here needs torch, so that options can be checked before it is loaded.

Sources: Simonyan & Zisserman 2014 (1409.1556), configurations D and E;
Krizhevsky 2014 (1404.5997), the one-tower AlexNet that torchvision ships.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator

from impasto.config.registry import Registry
from impasto.errors import ConfigError


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
    """A frozen chain of layers, the layers it is usually measured at, and the steps a picture needs.

    `fourier_power` is how much descent prefers low frequencies: a first layer of stride 4 says little of high ones.
    """

    name: str
    layers: tuple[Layer, ...]
    content_layers: tuple[str, ...]
    style_layers: tuple[str, ...]
    iterations: int
    fourier_power: float = 1.0

    def steps(self, size_px: int) -> int:
        """Return the steps for a long side: more above 512 px, up to twice as many (benchmarks/alpha.py)."""
        return round(self.iterations * min(math.sqrt(max(size_px / 512, 1)), 2))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every layer, from shallow to deep."""
        return tuple(layer.name for layer in self.layers)

    @cached_property
    def convolutions(self) -> tuple[Layer, ...]:
        """The layers that hold weights."""
        return tuple(layer for layer in self.layers if layer.kind == "conv")

    def upto(self, deepest: str) -> tuple[Layer, ...]:
        """Return the layers up to and including `deepest`."""
        return self.layers[: self.names.index(deepest) + 1]

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


def _vgg(name: str, convolutions_per_block: tuple[int, ...]) -> Network:
    layers: list[Layer] = []
    channels = 3
    for block, count in enumerate(convolutions_per_block, start=1):
        width = min(64 * 2 ** (block - 1), 512)
        for index in range(1, count + 1):
            layers.append(Layer(f"conv{block}_{index}", "conv", 3, 1, 1, channels, width))
            layers.append(Layer(f"relu{block}_{index}", "relu"))
            channels = width
        layers.append(Layer(f"pool{block}", "pool", 2, 2))
    style = tuple(f"relu{block}_1" for block in range(1, 6))
    return Network(name, tuple(layers), ("relu4_2",), style, iterations=45)


def _alexnet() -> Network:
    layers = (
        *(Layer("conv1", "conv", 11, 4, 2, 3, 64), Layer("relu1", "relu"), Layer("pool1", "pool", 3, 2)),
        *(Layer("conv2", "conv", 5, 1, 2, 64, 192), Layer("relu2", "relu"), Layer("pool2", "pool", 3, 2)),
        *(Layer("conv3", "conv", 3, 1, 1, 192, 384), Layer("relu3", "relu")),
        *(Layer("conv4", "conv", 3, 1, 1, 384, 256), Layer("relu4", "relu")),
        *(Layer("conv5", "conv", 3, 1, 1, 256, 256), Layer("relu5", "relu"), Layer("pool5", "pool", 3, 2)),
    )
    style = tuple(f"relu{index}" for index in range(1, 6))
    return Network("alexnet", layers, ("relu3",), style, iterations=200, fourier_power=2.0)


VGG19 = _vgg("vgg19", (2, 2, 4, 4, 4))
VGG16 = _vgg("vgg16", (2, 2, 3, 3, 3))
ALEXNET = _alexnet()

NETWORKS = {network.name: network for network in (VGG19, VGG16, ALEXNET)}


COARSEST_PX = 96
"""Below this long side a scale adds nothing that the next one does not find by itself."""


def fitting_scales(height: int, width: int, minimum_px: int) -> int:
    """Return how many sizes fit when each halves the one before and no side may be below `minimum_px`."""
    count = 1
    while min(height, width) >> count >= minimum_px:
        count += 1
    return count


def default_scales(height: int, width: int, minimum_px: int) -> int:
    """Return how many sizes a run goes through: halving while the long side is at least `COARSEST_PX`."""
    count = 1
    while max(height, width) >> count >= COARSEST_PX:
        count += 1
    return min(count, fitting_scales(height, width, minimum_px))


NETWORK_NAMES = Registry("network", "impasto.networks", ("vgg19", "vgg19:torchvision", "vgg16", "alexnet"))

NetworkName = Annotated[str, AfterValidator(NETWORK_NAMES.require), NETWORK_NAMES]


def register_network(name: str, path: str) -> None:
    """Add a network by the import path of its `Network`, `module:attribute`. It needs a file of weights at each run.

    An installed package declares it as an entry point of the group `impasto.networks` instead. Raises `ConfigError`.
    """
    NETWORK_NAMES.register(name, path)


def architecture(network: str) -> Network:
    """Return the chain of a name such as `vgg19` or `vgg19:torchvision` (weights after the colon)."""
    name = network.partition(":")[0]
    if name in NETWORKS:
        return NETWORKS[name]
    loaded = NETWORK_NAMES.load(network)
    if not isinstance(loaded, Network):
        raise ConfigError(f"network {network!r} is a {type(loaded).__name__}, not an impasto.config.networks.Network.")
    return loaded
