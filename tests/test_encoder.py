"""The encoder: features, padding, pooling and frozen weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from builders.networks import TINY, random_weights
from torch import Tensor

from impasto.config.networks import ALEXNET, VGG19
from impasto.core.encoder import Encoder
from impasto.errors import LayerError


def test_features_equal_the_layers_applied_in_order(tiny: Encoder, noise_image: Tensor) -> None:
    weights = random_weights(TINY)
    x = (noise_image - torch.tensor(weights.mean).view(1, 3, 1, 1)) / torch.tensor(weights.std).view(1, 3, 1, 1)
    first = F.conv2d(x, weights.kernels["conv1_1"], weights.biases["conv1_1"], padding=1).clamp(min=0)
    windows = first.unfold(2, 2, 2).unfold(3, 2, 2)
    second = F.conv2d(windows.amax(dim=(4, 5)), weights.kernels["conv2_1"], weights.biases["conv2_1"], padding=1)
    features = tiny(noise_image, ["relu1_1", "conv2_1"])
    torch.testing.assert_close(features["relu1_1"], first)
    torch.testing.assert_close(features["conv2_1"], second)


def test_average_pooling_averages(noise_image: Tensor) -> None:
    encoder = Encoder(TINY, random_weights(TINY), pooling="avg")
    features = encoder(noise_image, ["relu1_1", "pool1"])
    expected = features["relu1_1"].unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(4, 5))
    torch.testing.assert_close(features["pool1"], expected)


def test_rescaled_average_pooling_doubles_features(noise_image: Tensor) -> None:
    """Deeper layers were trained on maxima, so style-transfer-pytorch doubles averages."""
    plain, doubled = (
        Encoder(TINY, random_weights(TINY), pooling=pooling)(noise_image, ["pool1"])["pool1"]
        for pooling in ("avg", "avg-rescaled")
    )
    torch.testing.assert_close(doubled, 2 * plain)


def test_skips_layers_deeper_than_needed(noise_image: Tensor) -> None:
    weights = random_weights(TINY)
    encoder = Encoder(TINY, weights)
    del encoder.kernels["conv2_1"]  # touching it would raise KeyError
    assert set(encoder(noise_image, ["pool1"])) == {"pool1"}
    with pytest.raises(KeyError):
        encoder(noise_image, ["relu2_1"])


def test_unknown_layer_error_names_it(tiny: Encoder, noise_image: Tensor) -> None:
    with pytest.raises(LayerError, match="tiny has no layer relu9_1"):
        tiny(noise_image, ["relu9_1"])


def test_weights_are_frozen_copies(tiny: Encoder) -> None:
    assert not any(t.requires_grad for t in (*tiny.kernels.values(), *tiny.biases.values(), tiny.mean, tiny.std))


def test_digest_depends_on_every_weight() -> None:
    one, same, other = random_weights(TINY), random_weights(TINY), random_weights(TINY)
    other.biases["conv2_1"][3] += 1e-6
    assert one.sha256 == same.sha256 != other.sha256


@pytest.mark.parametrize("padding", ["replicate", "reflect"])
def test_flat_image_has_flat_features_except_with_zero_padding(padding: Any) -> None:
    """Zero padding shows up as a frame in the features, replicated edges do not."""
    flat = torch.full((1, 3, 20, 24), 0.8)

    def spread(encoder: Encoder) -> float:
        features = encoder(flat, ["conv1_1"])["conv1_1"]
        return float((features - features[..., 10:11, 12:13]).abs().max())

    assert spread(Encoder(VGG19, random_weights(VGG19), padding=padding)) < 1e-5
    assert spread(Encoder(VGG19, random_weights(VGG19))) > 1e-2


@pytest.mark.parametrize("padding", ["replicate", "reflect"])
def test_padding_keeps_the_size(padding: Any) -> None:
    for network in (VGG19, ALEXNET):
        weights = random_weights(network)
        layers = network.style_layers
        plain, padded = (
            Encoder(network, weights, padding=mode)(torch.rand(1, 3, 99, 84), layers) for mode in ("zero", padding)
        )
        assert {name: plain[name].shape for name in layers} == {name: padded[name].shape for name in layers}
