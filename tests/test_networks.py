"""The chains as data: names, sizes, layer defaults."""

from __future__ import annotations

import pytest
import torch

from impasto.config.networks import ALEXNET, NETWORKS, VGG16, VGG19, architecture
from impasto.core.encoder import Encoder


def test_networks_have_the_published_number_of_convolutions() -> None:
    assert [len(n.convolutions) for n in (VGG19, VGG16, ALEXNET)] == [16, 13, 5]


def test_layers_are_named_as_in_the_papers() -> None:
    assert {"relu4_2", "conv3_1", "pool2", "relu5_4"} <= set(VGG19.names)
    assert "relu5_4" not in VGG16.names
    assert [name for name in ALEXNET.names if name.startswith("relu")] == [f"relu{i}" for i in range(1, 6)]


def test_weights_variant_keeps_its_architecture() -> None:
    assert architecture("vgg19:torchvision") is VGG19


@pytest.mark.parametrize(
    ("network", "layer", "least"), [("vgg19", "relu5_1", 16), ("vgg19", "conv1_1", 1), ("vgg16", "pool5", 32)]
)
def test_minimum_size_follows_pooling(network: str, layer: str, least: int) -> None:
    assert NETWORKS[network].minimum_px(layer) == least


def test_predicted_sizes_match_the_features(random_network: Encoder) -> None:
    chain = random_network.network
    height, width = 67, 90
    features = random_network(torch.rand(1, 3, height, width), chain.names)
    assert list(features) == list(chain.names)
    for name, feature in features.items():
        assert feature.shape[2:] == (chain.output_px(name, height), chain.output_px(name, width)), name


def test_minimum_size_is_tight(random_network: Encoder) -> None:
    from impasto.errors import LayerError

    chain = random_network.network
    for layer in chain.style_layers:
        least = chain.minimum_px(layer)
        assert random_network(torch.rand(1, 3, least, least), [layer])[layer].numel() > 0
        if least > 1:
            with pytest.raises(LayerError, match=f"too small for {layer}, which needs at least {least} px"):
                random_network(torch.rand(1, 3, least - 1, least + 50), [layer])
