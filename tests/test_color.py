"""Color transfer, also for gray, flat and 16-bit images."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import torch
from builders.objectives import tiny_config
from builders.runs import build_run, picture
from torch import Tensor

import impasto
from impasto.config import Config
from impasto.core.encoder import Encoder
from impasto.core.tensor_store import RamStore
from impasto.images import load
from impasto.images.color import Transfer, match_colors, match_luminance, to_grayscale, transfer_chroma
from impasto.run import drive

STORE = RamStore()
LINEAR: tuple[Transfer, ...] = ("cholesky", "pca", "ot")


def colors(seed: int, spread: float = 0.06) -> Tensor:
    """Build an image with correlated channels that no linear map drives out of [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.eye(3) + 0.5 * torch.randn(3, 3, generator=generator)
    noise = torch.rand(1, 3, 40, 50, generator=generator) - 0.5
    return 0.5 + spread * torch.einsum("ij,bjhw->bihw", mix, noise)


def statistics(image: Tensor) -> tuple[Tensor, Tensor]:
    flat = image[0].flatten(1).double()
    return flat.mean(dim=1), torch.cov(flat, correction=0)


def chroma(image: Tensor) -> Tensor:
    red, green, blue = image[:, 0], image[:, 1], image[:, 2]
    return torch.stack([red - green, blue - green])


def test_color_options_match_the_methods() -> None:
    assert typing.get_args(Config.model_fields["color_transfer"].annotation) == typing.get_args(Transfer)


@pytest.mark.parametrize("method", LINEAR)
def test_match_gives_the_content_mean_and_covariance(method: Transfer) -> None:
    style, content = colors(1, 0.2), colors(2, 0.2) + 0.05
    mean, covariance = statistics(match_colors(STORE, style, content, method))
    expected_mean, expected = statistics(content)
    torch.testing.assert_close(mean, expected_mean, rtol=0, atol=1e-5)
    # Both get a variance of 1e-5 added, so that gray images have a root.
    torch.testing.assert_close(covariance, expected, rtol=0.01, atol=5e-5)


def test_optimal_transport_moves_colors_least() -> None:
    style, content = colors(1), colors(2)
    moved = {method: float((match_colors(STORE, style, content, method) - style).square().mean()) for method in LINEAR}
    assert moved["ot"] < min(moved["cholesky"], moved["pca"])


@pytest.mark.parametrize("method", LINEAR)
def test_style_with_content_colors_is_unchanged(method: Transfer) -> None:
    content = colors(3)
    torch.testing.assert_close(match_colors(STORE, content, content.clone(), method), content, rtol=0, atol=1e-4)


def test_histogram_matching_gives_the_content_histogram() -> None:
    style = 0.3 + 0.4 * torch.rand(1, 3, 60, 60, generator=torch.Generator().manual_seed(1)) ** 2
    content = 0.2 + 0.6 * torch.rand(1, 3, 50, 70, generator=torch.Generator().manual_seed(2)) ** 0.5
    result = match_colors(STORE, style, content, "histogram")
    shares = torch.linspace(0.02, 0.98, 25)
    for channel in range(3):
        torch.testing.assert_close(
            result[0, channel].flatten().quantile(shares),
            content[0, channel].flatten().quantile(shares),
            rtol=0,
            atol=0.01,
        )


@pytest.mark.parametrize("method", typing.get_args(Transfer))
@pytest.mark.parametrize("flat", ["style", "content", "both"])
def test_matches_gray_and_flat_images(method: Transfer, flat: str) -> None:
    single = torch.tensor([0.2, 0.4, 0.7]).view(1, 3, 1, 1).expand(1, 3, 20, 30).contiguous()
    gray = torch.rand(1, 1, 20, 30, generator=torch.Generator().manual_seed(4)).expand(1, 3, 20, 30).contiguous()
    style = single if flat != "content" else colors(1)
    content = gray if flat != "style" else colors(2)
    result = match_colors(STORE, style, content, method)
    assert torch.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= 1
    if flat != "style":
        # Nearly gray: the added variance allows a deviation of 0.003.
        assert chroma(result).abs().max() < 0.03


def test_combines_brightness_with_another_hue() -> None:
    stylized, content = colors(1, 0.8).clamp(0, 1), colors(2, 0.5).clamp(0, 1)
    result = transfer_chroma(STORE, stylized, content)
    assert result.min() >= 0
    assert result.max() <= 1
    torch.testing.assert_close(to_grayscale(STORE, result), to_grayscale(STORE, stylized), rtol=0, atol=1e-5)
    # Each pixel has the chroma of the content, or less.
    ratio = chroma(result).norm(dim=0) / chroma(content).norm(dim=0).clamp(min=1e-6)
    assert ratio.max() < 1 + 1e-3
    assert (ratio > 0.999).float().mean() > 0.8


def test_gray_style_takes_the_content_brightness() -> None:
    style, content = to_grayscale(STORE, colors(1)), to_grayscale(STORE, colors(2) + 0.1)
    result = match_luminance(STORE, style, content)
    assert float(result.mean()) == pytest.approx(float(content.mean()), abs=1e-5)
    assert float(result.std()) == pytest.approx(float(content.std()), rel=0.02)


def stylized(encoder: Encoder, color: str, content: object) -> Tensor:
    return drive(build_run(encoder, tiny_config(iterations=8, color=color, alpha=5), content=content)).image


def test_luminance_mode_keeps_chroma(tiny: Encoder) -> None:
    content = picture(1) * torch.tensor([1.0, 0.5, 0.2]).view(1, 3, 1, 1)
    kept, free = (stylized(tiny, which, content) for which in ("luminance", "style"))
    errors = [(chroma(image) - chroma(content)).norm(dim=0).mean() for image in (kept, free)]
    assert errors[0] < 0.5 * errors[1]
    assert ((chroma(kept) - chroma(content)).norm(dim=0) < 1e-3).float().mean() > 0.5


@pytest.mark.weights
@pytest.mark.parametrize("color", ["luminance", "match"])
def test_stylized_photo_keeps_content_colors(color: Any, photo: Path, painting: Path) -> None:
    """Compare mean and covariance with those of a run in the style's colors."""
    expected, errors = statistics(load(photo, long_side_px=96).pixels), {}
    for mode in (color, "style"):
        image = impasto.stylize(photo, painting, size=96, iterations=15, color=mode).image
        mean, covariance = statistics(image)
        errors[mode] = float((mean - expected[0]).norm() + (covariance - expected[1]).norm())
    assert errors[color] < 0.4 * errors["style"], errors


def test_gray_content_stays_gray(tiny: Encoder) -> None:
    gray = picture(1).mean(dim=1, keepdim=True).expand(1, 3, 40, 56)
    assert chroma(stylized(tiny, "luminance", gray)).abs().max() < 1e-6


def test_keeps_colors_at_16_bits(tiny: Encoder, tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    levels = (20000 + 5 * np.arange(40 * 56 * 3)).reshape(40, 56, 3).astype(np.uint16)
    pyvips.Image.new_from_array(levels).copy(interpretation="rgb16").write_to_file(str(path))
    result, content = stylized(tiny, "luminance", path), load(path).pixels
    same = (chroma(result) - chroma(content)).abs() < 1e-5
    assert same.float().mean() > 0.9
