"""Networks with random weights, for tests only."""

from __future__ import annotations

from dataclasses import replace

import torch

from impasto.config.networks import Layer, Network
from impasto.core.encoder import Weights

TINY = Network(
    "tiny",
    (
        Layer("conv1_1", "conv", 3, 1, 1, 3, 6),
        Layer("relu1_1", "relu"),
        Layer("pool1", "pool", 2, 2),
        Layer("conv2_1", "conv", 3, 1, 1, 6, 10),
        Layer("relu2_1", "relu"),
    ),
    ("relu2_1",),
    ("relu1_1", "relu2_1"),
    iterations=50,
)


def narrow(network: Network, divisor: int = 4) -> Network:
    """Return a network with the same chain of layers and fewer channels.

    Which pixels reach which positions is the same, and arithmetic takes less time by the square of the divisor.
    """

    def divide(channels: int) -> int:
        return channels if channels in (0, 3) else channels // divisor

    layers = (replace(layer, inputs=divide(layer.inputs), outputs=divide(layer.outputs)) for layer in network.layers)
    return replace(network, layers=tuple(layers))


def random_weights(network: Network, seed: int = 0) -> Weights:
    """Return He-initialized weights of `network`'s shapes."""
    generator = torch.Generator().manual_seed(seed)
    kernels, biases = {}, {}
    for layer in network.convolutions:
        shape = (layer.outputs, layer.inputs, layer.kernel, layer.kernel)
        fan_in = layer.inputs * layer.kernel**2
        kernels[layer.name] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
        biases[layer.name] = torch.randn(layer.outputs, generator=generator) * 0.1
    return Weights(kernels, biases, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
