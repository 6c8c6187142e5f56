"""Bleed: painted colors continue under transparent parts, so that islands of a UV map have no rim."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.networks import TINY, random_weights
from builders.objectives import tiny_config
from builders.runs import build_run, picture
from numpy.typing import NDArray
from PIL import Image

import impasto
from impasto.cli import main
from impasto.config import Config
from impasto.core.encoder import Encoder
from impasto.core.tensor_store import RamStore
from impasto.errors import ConfigError
from impasto.images import bleed, keeps_hidden_colors
from impasto.run import drive

RED, BLUE, BLEED_PX = (0.9, 0.1, 0.1), (0.1, 0.2, 0.9), 4


def draw_islands(height: int = 48, width: int = 64) -> NDArray[np.float32]:
    """Return two islands (H, W, 4), 6 px apart, with bright green under the transparent parts."""
    pixels = np.zeros((height, width, 4), np.float32)
    pixels[..., 1] = 1
    pixels[8:40, 6:29] = (*RED, 1)
    pixels[8:40, 35:58] = (*BLUE, 1)
    return pixels


def rim(image: torch.Tensor, alpha: torch.Tensor) -> float:
    """Return how far bilinear lookups at the edges of the islands are from the colors just inside, at most.

    A lookup half a pixel beyond the last opaque pixel mixes it with the first transparent one.
    """
    opaque = alpha[0, 0] > 0.5
    right = opaque[:, :-1] & ~opaque[:, 1:]
    down = opaque[:-1] & ~opaque[1:]
    pairs = [(image[0, :, :, :-1][:, right], image[0, :, :, 1:][:, right])]
    pairs.append((image[0, :, :-1][:, down], image[0, :, 1:][:, down]))
    return max(float(((inner + outer) / 2 - inner).abs().max()) for inner, outer in pairs)


def test_colors_are_those_of_the_nearest_opaque_part() -> None:
    islands = torch.from_numpy(draw_islands()).permute(2, 0, 1)[None]
    pixels, alpha = islands[:, :3] * islands[:, 3:], islands[:, 3:]
    bleed.extend_colors(pixels, alpha, BLEED_PX)
    for columns, color in ((slice(2, 32), RED), (slice(32, 62), BLUE)):
        part = pixels[0, :, 5:43, columns]  # the last ring mixes both at the corners
        assert torch.allclose(part, torch.tensor(color)[:, None, None].expand_as(part), atol=1e-4)


def test_mask_reaches_as_far_as_the_bleed() -> None:
    alpha = torch.from_numpy(draw_islands()[None, None, :, :, 3])
    mask = bleed.bleed_mask(alpha, BLEED_PX)
    assert mask is not None
    assert mask[0, 0, 20].nonzero().flatten().tolist() == list(range(2, 62))
    assert mask[0, 0, :, 20].nonzero().flatten().tolist() == list(range(4, 44))
    assert bleed.bleed_mask(torch.ones(1, 1, 8, 8), BLEED_PX) is None


def test_painted_colors_continue_beyond_the_mask() -> None:
    painted, mask = torch.rand(1, 3, 32, 32), torch.zeros(1, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1
    continued = bleed.continue_painted(painted, mask, RamStore())
    assert torch.equal(continued[..., 8:24, 8:24], painted[..., 8:24, 8:24])
    inside = painted[..., 8:24, 8:24].mean(dim=(2, 3))
    assert (continued[..., :4, :4].mean(dim=(2, 3)) - inside).abs().max() < 0.15


def test_islands_have_no_rim(tiny: Encoder) -> None:
    """Without style the target is the content: what differs at an edge is what was laid beside it."""
    options: dict[str, Any] = {"alpha": 0, "init": "content", "palette_strength": 0, "iterations": 2}
    rims = []
    for bleed_px in (0, BLEED_PX):
        result = drive(build_run(tiny, tiny_config(bleed_alpha=bleed_px, **options), content=draw_islands()))
        assert result.alpha is not None
        assert torch.equal(result.alpha[0, 0], torch.from_numpy(draw_islands()[..., 3]))
        rims.append(rim(result.image, result.alpha))
    assert rims[1] < 0.01 < rims[0]


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_files_keep_the_colors_under_transparent_parts(tiny: Encoder, tmp_path: Path, suffix: str) -> None:
    result = drive(build_run(tiny, tiny_config(bleed_alpha=BLEED_PX, iterations=3), content=draw_islands()))
    read = np.asarray(Image.open(result.save(tmp_path / f"uv.{suffix}")).convert("RGBA")) / 255
    hidden = read[..., 3] == 0
    assert hidden.any()
    # WebP stores colors at half the size, and lossy.
    assert np.abs(read[hidden][:, :3] - result.to_numpy()[hidden][:, :3] / 255).mean() < 0.03


def test_bleed_leaves_statistics_to_the_islands() -> None:
    run = build_run(Encoder(TINY, random_weights(TINY)), tiny_config(bleed_alpha=BLEED_PX), content=draw_islands())
    steps = run.steps()
    inputs = next(steps).inputs
    steps.close()
    (region,) = inputs.regions
    assert float(region.mask[..., :2, :].max()) == 0
    assert float(region.mask[..., 8:40, 6:58].min()) == 1
    assert run.workload.regions == 1


def test_opaque_content_is_painted_as_ever(tiny: Encoder, caplog: pytest.LogCaptureFixture) -> None:
    plain = drive(build_run(tiny, tiny_config(iterations=2))).image
    with caplog.at_level(logging.WARNING, logger="impasto"):
        bled = drive(build_run(tiny, tiny_config(iterations=2, bleed_alpha=BLEED_PX), content=picture(1))).image
    assert torch.equal(plain, bled)
    assert "has no transparent parts" in caplog.text


def test_bleed_is_written_in_pixels() -> None:
    assert [Config(bleed_alpha=value).bleed_alpha for value in ("8px", "8", 8, "0")] == [8, 8, 8, 0]
    for wrong in ("8mm", "-1px", -1, "wide"):
        with pytest.raises(ConfigError, match=r"bleed_alpha|number of pixels"):
            Config(bleed_alpha=wrong)


@pytest.mark.weights
def test_bleed_works_with_every_style_loss(painting: Path) -> None:
    for style_loss in ("centered", "neighbor", "sliced-wasserstein"):
        result = impasto.stylize(
            draw_islands(), painting, style_loss=style_loss, bleed_alpha="4px", size=64, iterations=2
        )
        assert result.image.shape == (1, 3, 48, 64)


@pytest.mark.weights
@pytest.mark.parametrize(("name", "is_lost"), [("a.png", False), ("a.jpg", True)])
def test_command_says_where_the_bleed_is_lost(
    name: str, is_lost: bool, painting: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    islands = np.zeros((64, 96, 4), np.uint8)
    islands[16:48, 16:80] = 200
    Image.fromarray(islands).save(tmp_path / "uv.png")
    options = ["--size", "64", "--iterations", "1", "--bleed-alpha", "4px"]
    assert main(["stylize", str(tmp_path / "uv.png"), str(painting), "-o", str(tmp_path / name), *options]) == 0
    assert ("so --bleed-alpha is lost. Use .png" in " ".join(capsys.readouterr().err.split())) == is_lost


def test_formats_with_hidden_colors_are_known() -> None:
    srgb, press = impasto.images.load_profile("srgb"), impasto.images.load_profile("cmyk")
    kept = [name for name in ("a.PNG", "a.tif", "a.webp", "a.jpg", "a.exr") if keeps_hidden_colors(Path(name), srgb)]
    assert kept == ["a.PNG", "a.tif", "a.webp"]
    assert not keeps_hidden_colors(Path("a.tif"), press)
