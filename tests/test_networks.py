"""Network definitions: names, sizes and default layers."""

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


def test_deepest_layer_is_found_in_any_order() -> None:
    assert VGG19.deepest(["relu2_1", "pool4", "relu4_4"]) == "pool4"
    assert VGG19.deepest(iter(["conv5_4", "conv1_1"])) == "conv5_4"


@pytest.mark.parametrize(
    ("network", "layer", "minimum"), [("vgg19", "relu5_1", 16), ("vgg19", "conv1_1", 1), ("vgg16", "pool5", 32)]
)
def test_minimum_size_follows_pooling(network: str, layer: str, minimum: int) -> None:
    assert NETWORKS[network].minimum_px(layer) == minimum


def test_predicted_sizes_match_the_features(random_network: Encoder) -> None:
    definition = random_network.network
    height, width = 67, 90
    features = random_network(torch.rand(1, 3, height, width), definition.names)
    assert list(features) == list(definition.names)
    for name, feature in features.items():
        assert feature.shape[2:] == (definition.output_px(name, height), definition.output_px(name, width)), name


def test_minimum_size_is_tight(random_network: Encoder) -> None:
    from impasto.errors import LayerError

    definition = random_network.network
    for layer in definition.style_layers:
        minimum = definition.minimum_px(layer)
        assert random_network(torch.rand(1, 3, minimum, minimum), [layer])[layer].numel() > 0
        if minimum > 1:
            with pytest.raises(LayerError, match=f"too small for {layer}, which needs at least {minimum} px"):
                random_network(torch.rand(1, 3, minimum - 1, minimum + 50), [layer])
