"""Pictures painted from noise with the pretrained networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.pixels import read_pixels

import impasto
from impasto import samples
from impasto.core.encoder import Encoder
from impasto.core.statistics import compute_moments, gram_matrix
from impasto.errors import WeightsError
from impasto.images import load as load_image
from impasto.metrics.artifacts import speckle
from impasto.run import Result, drive
from impasto.weights import load, pull

pytestmark = pytest.mark.weights

SIZE = 96
PLAIN = impasto.load_preset("classic").overrides()
"""Options of the published method, at its layers."""


def paint(photo: Path, painting: Path, **options: Any) -> Result:
    return impasto.stylize(photo, painting, **({"size": SIZE, "iterations": 25} | options))


@pytest.fixture(scope="session")
def alexnet() -> None:
    """Download the weights of AlexNet if missing."""
    try:
        load("alexnet")
    except WeightsError as error:  # pragma: no cover
        pytest.skip(f"AlexNet could not be pulled here: {error}")


def test_vgg19_paints_from_noise(photo: Path, painting: Path) -> None:
    result = paint(photo, painting, iterations=50, **PLAIN)
    # A blank canvas has content 1 and style about 1 in relative units.
    assert result.losses["content"] < 0.75
    assert result.losses["style"] < 0.12
    assert 0.15 < float(result.image.mean()) < 0.85
    assert float(result.image.std()) > 0.08


def test_default_is_closer_to_the_painting_than_the_plain_method(photo: Path) -> None:
    painting = samples.paint("swirl", size_px=192)
    plain, default = (
        impasto.score(photo, painting, impasto.stylize(photo, painting, size=192, iterations=30, **given).image)
        for given in (PLAIN, {})
    )
    assert default.style < 0.97 * plain.style
    assert default.sliced_wasserstein < 0.9 * plain.sliced_wasserstein
    assert default.patch < plain.patch
    assert default.palette < 0.67 * plain.palette
    assert default.content < plain.content + 0.05


@pytest.mark.usefixtures("alexnet")
def test_alexnet_paints_from_noise(photo: Path, painting: Path) -> None:
    result = paint(photo, painting, network="alexnet", iterations=150, **PLAIN)
    assert result.losses["content"] < 1.0
    assert result.losses["style"] < 0.15
    assert set(result.losses) >= {"content.relu3", "style.relu1", "style.relu5"}


@pytest.mark.usefixtures("alexnet")
def test_alexnet_filter_reduces_grain(photo: Path, painting: Path) -> None:
    content, style = (load_image(path, long_side_px=SIZE).pixels for path in (photo, painting))
    clean, plain = (
        paint(photo, painting, network="alexnet", iterations=60, **given).image for given in ({}, {"fourier_power": 1})
    )
    assert speckle(clean, content, style) < 0.8 * speckle(plain, content, style)


def test_alpha_trade_off_is_monotonic(photo: Path, painting: Path) -> None:
    losses = [paint(photo, painting, alpha=alpha).losses for alpha in (0.2, 2, 20, 200)]
    content, style = [one["content"] for one in losses], [one["style"] for one in losses]
    assert content == sorted(content)
    assert style == sorted(style, reverse=True)
    assert content[-1] > 1.5 * content[0]
    assert style[0] > 3 * style[-1]


def test_picture_has_content_structure_and_style_colors(photo: Path, painting: Path) -> None:
    result = paint(photo, painting, iterations=40, alpha=1)
    content = load_image(photo, long_side_px=SIZE).pixels
    style = load_image(painting, long_side_px=SIZE).pixels
    gray = [image.mean(dim=1).flatten() for image in (result.image, content, content.flip(3))]
    with_photo, with_mirrored = torch.corrcoef(torch.stack(gray))[0, 1:]
    assert float(with_photo) > 0.2
    assert float(with_mirrored) < 0.1
    mean = [image.mean(dim=(2, 3)) for image in (result.image, content, style)]
    assert float((mean[0] - mean[2]).norm()) < float((mean[0] - mean[1]).norm())


@pytest.mark.slow
def test_stylizing_an_image_with_itself_returns_it() -> None:
    """Stylize a painting with itself, from noise and with default options. The bounds hold for α = 5.

    Without `iterations`, the run would get up to 200 steps, because its loss falls on; 60 suffice. The content layer
    relu4_2 has one position every 8 px, so pictures are compared by means over 8 px.
    """
    from impasto import samples

    def coarse(image: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(image.mean(dim=1, keepdim=True), 8).flatten()

    paintings = {name: samples.paint(name, size_px=160) for name in samples.PAINTINGS}
    result = impasto.stylize(paintings["swirl"], paintings["swirl"], size=160, alpha=5, iterations=60)
    originals = {name: load_image(array).pixels for name, array in paintings.items()}
    # A blank canvas has about 1 + 5 · 1.6. Here at most a fifth of the content's energy is wrong, or a fortieth of the
    # style's, after the colors were moved.
    assert result.losses["total"] < 0.2
    likeness = {
        name: float(torch.corrcoef(torch.stack([coarse(result.image), coarse(originals[name])]))[0, 1])
        for name in originals
    }
    likeness["mirrored"] = float(
        torch.corrcoef(torch.stack([coarse(result.image), coarse(originals["swirl"].flip(3))]))[0, 1]
    )
    # At that scale the painting explains over two thirds of the variance, any other picture under one third.
    assert likeness.pop("swirl") ** 2 > 2 / 3
    assert max(likeness.values()) ** 2 < 1 / 3
    # Pixel by pixel it is twice as near to the painting as gray, or as another painting.
    errors = {name: float((result.image - pixels).square().mean()) for name, pixels in originals.items()}
    start = float((originals["swirl"] - 0.5).square().mean())
    assert errors.pop("swirl") < min(start, *errors.values()) / 2


def test_same_seed_gives_the_same_bytes(photo: Path, painting: Path, tmp_path: Path) -> None:
    one, two, other = (
        paint(photo, painting, iterations=6, seed=seed).save(tmp_path / f"{index}.png")
        for index, seed in enumerate((1, 1, 2))
    )
    assert one.read_bytes() == two.read_bytes()
    assert (read_pixels(one) != read_pixels(other)).any()


def test_textbook_paints_on_real_weights(photo: Path, painting: Path) -> None:
    config = impasto.load_preset("textbook", size=SIZE, iterations=60)
    steps = impasto.stylize_steps(photo, painting, config)
    first = next(steps)
    total, style = float(first.losses.total), float(first.losses.style)
    *_, last = steps
    assert float(last.losses.total) < 0.2 * total
    assert float(last.losses.style) < 0.2 * style


def test_run_does_not_change_the_network(photo: Path, painting: Path) -> None:
    from impasto.run import prepare_run

    run = prepare_run(photo, painting, size=64, iterations=2)
    before = {name: kernel.clone() for name, kernel in run.encoder.kernels.items()}
    drive(run)
    assert all(torch.equal(kernel, before[name]) for name, kernel in run.encoder.kernels.items())
    assert not any(t.requires_grad or t.grad is not None for t in run.encoder.kernels.values())


@pytest.mark.slow
def test_vgg19_distinguishes_textures(vgg19: Encoder) -> None:
    """Two crops of one painting are nearer in Gram matrices than crops of two paintings."""
    from impasto import samples

    def gram(name: str, left: int) -> torch.Tensor:
        array = samples.paint(name, size_px=320)[-160:, left : left + 160]
        image = load_image(np.ascontiguousarray(array)).pixels
        return gram_matrix(compute_moments(vgg19(image, ["relu3_1"])["relu3_1"]))

    def distance(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a - b).square().mean() / (a.square().mean() * b.square().mean()).sqrt())

    within = distance(gram("swirl", 0), gram("swirl", 160))
    across = distance(gram("swirl", 0), gram("ink", 0))
    assert within < across


@pytest.mark.parametrize("kind", ["pil", "uint8", "float", "tensor"])
def test_all_input_types_paint_the_same(photo: Path, painting: Path, kind: str) -> None:
    from PIL import Image

    def convert(path: Path) -> Any:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        array = np.asarray(image)
        if kind == "pil":
            return image
        if kind == "tensor":
            return torch.from_numpy(array.copy()).permute(2, 0, 1).float() / 255
        return array if kind == "uint8" else array / 255

    by_path = paint(photo, painting, size=48, iterations=2, style_layers="relu1_1,relu2_1", scales=1)
    converted = paint(
        convert(photo), convert(painting), size=48, iterations=2, style_layers="relu1_1,relu2_1", scales=1
    )
    assert (by_path.image - converted.image).abs().max() < 0.02


def test_pulling_installed_weights_is_offline() -> None:
    assert list(pull("vgg19")) == []
