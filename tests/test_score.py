"""Scores: LPIPS, the style distance and artifacts."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from builders.networks import narrow, random_weights
from builders.objectives import measure_losses, plain_objective
from PIL import Image
from torch import Tensor

import impasto
from impasto import images, samples
from impasto.cli import main
from impasto.config import Config
from impasto.config.networks import ALEXNET, VGG16, WEIGHTS
from impasto.config.weights_sources import WeightsFile
from impasto.core.encoder import Encoder
from impasto.errors import ImageError, WeightsError
from impasto.images.oklab import from_oklab, to_oklab
from impasto.metrics.artifacts import border, checkerboard, haze, speckle
from impasto.metrics.colors import histogram, palette
from impasto.metrics.lpips import lpips
from impasto.metrics.score import MEANINGS, Score, ScoreNetworks, load_score_inputs, score, score_images, style_error
from impasto.metrics.structure import cfsd, patch, sliced_wasserstein
from impasto.weights import Heads

WIDTHS = (64, 192, 384, 256, 256)


def random_heads(seed: int = 3) -> Heads:
    generator = torch.Generator().manual_seed(seed)
    return Heads({f"relu{i}": torch.rand(width, generator=generator) for i, width in enumerate(WIDTHS, start=1)})


def random_images(count: int, *shape: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(11)
    return [torch.rand(1, 3, *shape, generator=generator, dtype=dtype) for _ in range(count)]


@pytest.fixture(scope="module")
def seeded() -> ScoreNetworks:
    """Networks with random weights: their scores mean nothing, but the same picture must still score zero."""
    vgg16 = narrow(VGG16)
    return ScoreNetworks(
        Encoder(vgg16, random_weights(vgg16)), Encoder(ALEXNET, random_weights(ALEXNET)), random_heads()
    )


# ---- LPIPS ---------------------------------------------------------------------------------------


def reference_lpips(image: Tensor, other: Tensor) -> float:
    """Zhang et al. 2018, eq. 1, with the constants of their code, over torchvision's AlexNet, in float64."""
    kernels, biases = (getattr(random_weights(ALEXNET), kind) for kind in ("kernels", "biases"))
    shift, scale = (
        torch.tensor(v).double().view(1, 3, 1, 1) for v in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450))
    )
    total = 0.0
    x, y = (((2 * picture - 1) - shift) / scale for picture in (image, other))
    for index, (stride, padding, pooled) in enumerate([(4, 2, 0), (1, 2, 1), (1, 1, 1), (1, 1, 0), (1, 1, 0)], start=1):
        activations = []
        for z in (x, y):
            z = F.max_pool2d(z, 3, 2) if pooled else z
            z = F.conv2d(z, kernels[f"conv{index}"].double(), biases[f"conv{index}"].double(), stride, padding)
            activations.append(z.clamp(min=0))
        x, y = activations
        one, two = (z[0].numpy() / (np.sqrt((z[0].numpy() ** 2).sum(0)) + 1e-10) for z in activations)
        head = random_heads().vectors[f"relu{index}"].double().numpy()
        total += float(np.einsum("chw,c->hw", (one - two) ** 2, head).mean())
    return total


def test_lpips_matches_the_published_formula() -> None:
    encoder = Encoder(ALEXNET, random_weights(ALEXNET), dtype=torch.float64)
    image, other = random_images(2, 75, 90, dtype=torch.float64)
    expected = reference_lpips(image, other)
    assert expected > 0.1
    assert lpips(encoder, random_heads(), image, other) == pytest.approx(expected, rel=1e-6)


def test_lpips_is_a_distance(seeded: ScoreNetworks) -> None:
    image, other = random_images(2, 70, 81)
    assert lpips(seeded.alexnet, seeded.heads, image, image) == 0
    forward, backward = (lpips(seeded.alexnet, seeded.heads, *pair) for pair in ((image, other), (other, image)))
    assert forward == pytest.approx(backward, rel=1e-6)
    small_change = lpips(seeded.alexnet, seeded.heads, image, (image + 0.01 * (other - image)))
    assert 0 < small_change < forward / 10


def test_tiled_lpips_matches_untiled() -> None:
    encoder = Encoder(ALEXNET, random_weights(ALEXNET), dtype=torch.float64)
    image, other = random_images(2, 201, 330, dtype=torch.float64)
    whole = lpips(encoder, random_heads(), image, other)
    assert lpips(encoder, random_heads(), image, other, tile_px=64) == pytest.approx(whole, rel=1e-9)


# ---- style ---------------------------------------------------------------------------------------


def test_style_distance_uses_the_loss_units(seeded: ScoreNetworks) -> None:
    image, style = random_images(2, 40, 52)
    objective = plain_objective(seeded.vgg16, image, style, Config(network="vgg16", style_loss="gram"))
    expected = float(measure_losses(seeded.vgg16, objective, image).style)
    assert expected > 0.001
    assert style_error(seeded.vgg16, image, style) == pytest.approx(expected, rel=1e-4)


def test_distances_are_zero_at_their_own_image(
    photo: Path, painting: Path, seeded: ScoreNetworks, tmp_path: Path
) -> None:
    content = tmp_path / "content.png"
    with Image.open(photo) as opened:
        opened.resize((160, 120)).save(content)
    by_style, by_content = (
        score_images(load_score_inputs(content, painting, image), seeded) for image in (painting, content)
    )
    assert by_style.style < 1e-9 < by_content.style
    assert by_content.content == 0 < by_style.content
    assert (by_content.border, by_content.haze) == (0, 0)


# ---- colors and parts ----------------------------------------------------------------------------


def oklab_by_hand(color: tuple[float, float, float]) -> list[float]:
    """Ottosson's published example code, for one color, in plain numbers."""
    r, g, b = (((c + 0.055) / 1.055) ** 2.4 if c > 0.04045 else c / 12.92 for c in color)
    long = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3)
    middle = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3)
    short = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3)
    return [
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    ]


@pytest.mark.parametrize(
    ("color", "expected"),  # CSS Color 4, sample conversions
    [((1, 1, 1), (1, 0, 0)), ((1, 0, 0), (0.62796, 0.22486, 0.12585)), ((0, 0, 1), (0.45201, -0.03246, -0.31153))],
)
def test_oklab_matches_published_values(
    color: tuple[float, float, float], expected: tuple[float, float, float]
) -> None:
    converted = to_oklab(torch.tensor(color, dtype=torch.float64).view(1, 3, 1, 1))
    assert converted.flatten().tolist() == pytest.approx(oklab_by_hand(color), abs=1e-9)
    assert converted.flatten().tolist() == pytest.approx(expected, abs=2e-4)


def test_oklab_is_inverted_exactly() -> None:
    (image,) = random_images(1, 9, 14, dtype=torch.float64)
    image[0, :, 0, 0] = torch.tensor([0.0, 0.01, 0.0])
    assert torch.allclose(from_oklab(to_oklab(image)), image, atol=1e-9)


def test_palette_measures_the_distance_to_the_nearest_color() -> None:
    style = torch.cat([flat(20, 20, 0.2), flat(20, 20, 0.8)], dim=3)
    image = torch.cat([flat(20, 20, 0.2), flat(20, 20, 0.7), flat(20, 40, 0.8)], dim=3)
    light, dark = (float(to_oklab(flat(1, 1, level))[0, 0]) for level in (0.8, 0.7))
    assert palette(image, style) == pytest.approx(100 * (light - dark) / 4, rel=1e-3)
    mask = torch.zeros(1, 1, 20, 40)
    mask[..., :20] = 1  # the light half is transparent
    assert palette(image, style, mask) > 10 * palette(image, style)
    stripes = flat(20, 20, 0.2)
    stripes[..., ::2] = 0.8  # the means of 2×2 px count
    assert palette(stripes, style) > 5


def test_histogram_matches_the_published_formula() -> None:
    image, style = random_images(2, 6, 7, dtype=torch.float64)

    def reference(picture: Tensor) -> np.ndarray:
        bins = np.linspace(-3, 3, 64)
        total = np.zeros((3, 64, 64))
        for pixel in picture[0].flatten(1).T.numpy():
            logs = np.log(pixel + 1e-6)
            for plane, (own, first, second) in enumerate([(0, 1, 2), (1, 0, 2), (2, 0, 1)]):
                u, v = (1 / (1 + ((logs[own] - logs[other] - bins) / 0.02) ** 2) for other in (first, second))
                total[plane] += np.sqrt((pixel**2).sum()) * np.outer(u, v)
        normalized: np.ndarray = total / total.sum()
        return normalized

    expected = np.sqrt(((np.sqrt(reference(image)) - np.sqrt(reference(style))) ** 2).sum() / 2)
    assert histogram(image, style) == pytest.approx(float(expected), rel=1e-4)
    assert histogram(image, image) == 0


def test_patch_matches_a_search_by_hand(seeded: ScoreNetworks) -> None:
    image, style = random_images(2, 90, 120)
    mask = torch.zeros(1, 1, 90, 120)
    mask[..., 60:] = 1
    for visible in (None, mask):
        expected = []
        for layer in ("relu2", "relu3"):
            ours, theirs = (seeded.alexnet(picture, [layer])[layer][0] for picture in (image, style))
            if visible is not None:
                theirs = theirs[..., F.adaptive_avg_pool2d(visible, (1, theirs.shape[2])).flatten() >= 0.5]
            ours, theirs = ours.flatten(1).T, theirs.flatten(1).T
            mean = theirs.mean(dim=0)
            cosines = [
                max(float(F.cosine_similarity(one - mean, other - mean, dim=0)) for other in theirs) for one in ours
            ]
            expected.append(1 - sum(cosines) / len(cosines))
        assert patch(seeded.alexnet, image, style, visible) == pytest.approx(sum(expected) / 2, abs=1e-4)


def test_structure_ignores_colors_and_sees_shapes(seeded: ScoreNetworks) -> None:
    content, other = random_images(2, 80, 96)
    assert cfsd(seeded.vgg16, content, content) == 0
    assert 0 < cfsd(seeded.vgg16, 0.5 * content + 0.2, content) < cfsd(seeded.vgg16, other, content) / 2


def test_distances_to_the_style_are_zero_at_it(seeded: ScoreNetworks) -> None:
    (style,) = random_images(1, 80, 96)
    assert patch(seeded.alexnet, style, style) == pytest.approx(0, abs=1e-5)
    assert sliced_wasserstein(seeded.vgg16, style, style) == 0
    assert sliced_wasserstein(seeded.vgg16, 0.5 * style, style) > 0.01


@pytest.mark.weights
def test_distances_to_the_style_ignore_positions(score_networks: ScoreNetworks) -> None:
    style, photo = sample("swirl"), sample("cat")
    moved = style.roll((40, 80), (2, 3))
    assert patch(score_networks.alexnet, moved, style) < 0.6 * patch(score_networks.alexnet, photo, style)
    by_moved, by_photo = (sliced_wasserstein(score_networks.vgg16, image, style) for image in (moved, photo))
    assert by_moved < by_photo / 10


@pytest.mark.weights
def test_transparent_parts_of_a_style_are_not_scored(photo: Path, score_networks: ScoreNetworks) -> None:
    """A painting beside a transparent half scores almost like the painting by itself."""
    style = sample("swirl")[0].permute(1, 2, 0).numpy()
    height, width = style.shape[:2]
    sticker = np.zeros((2 * height, width, 4), np.float32)
    sticker[:height, :, :3], sticker[:height, :, 3] = style, 1
    sticker[height:, :, 0] = 1  # red, and transparent
    picture = images.load(photo, long_side_px=240).pixels
    whole, part = (score_images(load_score_inputs(photo, given, picture), score_networks) for given in (style, sticker))
    for name in ("style", "sliced_wasserstein", "patch", "palette", "histogram"):
        assert getattr(part, name) == pytest.approx(getattr(whole, name), rel=0.25), name


# ---- inputs --------------------------------------------------------------------------------------


def test_scores_at_the_size_of_the_picture(photo: Path, painting: Path) -> None:
    image = images.load(photo, long_side_px=120).pixels
    views = load_score_inputs(photo, painting, image)
    assert torch.equal(views.image, image)
    assert views.content.shape == image.shape == (1, 3, 80, 120)
    assert max(views.style.shape) == 120
    small = load_score_inputs(
        images.load(photo, long_side_px=100).pixels, painting, images.load(photo, long_side_px=240).pixels
    )
    assert small.content.shape == (1, 3, 160, 240)  # content is enlarged
    assert max(small.style.shape) == 160  # style is not


def test_scores_all_input_types(photo: Path, painting: Path, seeded: ScoreNetworks, tmp_path: Path) -> None:
    with Image.open(photo) as opened:
        picture = opened.convert("RGB").resize((120, 80))
    gray = np.asarray(picture.convert("L"))
    kinds: dict[str, Image.Image] = {
        "gray.png": Image.fromarray(gray),
        "16bit.png": Image.fromarray(gray.astype(np.uint16) * 257),
        "alpha.png": picture.copy(),
        "cmyk.tif": picture.convert("CMYK"),
    }
    kinds["alpha.png"].putalpha(Image.fromarray((np.arange(80 * 120).reshape(80, 120) % 256).astype(np.uint8)))
    scores = {}
    for name, kind in kinds.items():
        kind.save(tmp_path / name)
        scores[name] = score_images(load_score_inputs(photo, painting, tmp_path / name), seeded)
        assert all(math.isfinite(value) and value >= 0 for value in asdict(scores[name]).values())
    assert scores["gray.png"].content == pytest.approx(scores["16bit.png"].content, rel=1e-3)


def test_refuses_small_images_by_name(photo: Path, painting: Path, tmp_path: Path) -> None:
    Image.new("RGB", (200, 63)).save(tmp_path / "low.png")
    Image.new("RGB", (3000, 100)).save(tmp_path / "band.png")
    with pytest.raises(ImageError, match=r"low\.png at 200x63 px is too small for a score, .* 64 px a side"):
        load_score_inputs(photo, painting, tmp_path / "low.png")
    with pytest.raises(ImageError, match=r"band\.png at 300x10 px is too small for a score, .* 16 px a side"):
        load_score_inputs(photo, tmp_path / "band.png", images.load(photo, long_side_px=300).pixels)
    with pytest.raises(ImageError, match="The picture at 63x64 px is too small"):
        load_score_inputs(photo, painting, np.zeros((64, 63), np.uint8))


# ---- artifacts by hand ---------------------------------------------------------------------------


def flat(height: int = 64, width: int = 80, level: float = 0.5) -> Tensor:
    return torch.full((1, 3, height, width), level)


def ramp(height: int = 64, width: int = 80) -> Tensor:
    return torch.linspace(0, 1, width).expand(1, 3, height, width)


def test_speckle_measures_isolated_pixels() -> None:
    image, twice = flat(600, 40), flat(600, 40)
    for column, row in enumerate((10, 255, 256, 511, 512, 598)):  # inside row blocks and at their borders
        image[0, 1, row, 3 * column + 5] += 0.3
        twice[0, 0, row, 6 * column + 2] -= 0.3
        twice[0, 2, row, 6 * column + 5] += 0.3
    assert speckle(image, twice, flat()) == pytest.approx(0.5, rel=1e-5)
    assert speckle(image, flat(600, 40), twice) == pytest.approx(0.5, rel=1e-5)
    assert speckle(image, flat(600, 40), flat()) == pytest.approx(6 * 0.09 / 72000 * 12 * 255**2, rel=1e-4)


def test_strokes_and_edges_are_not_speckle() -> None:
    image = flat()
    image[:, :, 20] = 1  # a line
    image[:, :, 30:50, 10:30] = 0  # a patch
    image[:, :, 40, 50:52] = 1  # a stroke of two pixels
    for step in range(15):  # a thin diagonal line
        image[:, :, 45 + step, 60 + step // 2] = 0
    assert speckle(image, flat(), flat()) == 0


def test_border_measures_a_step_at_the_edge() -> None:
    frame, inner = flat(100, 100), flat(100, 100)
    frame[:, :, 8:-8, 8:-8] = 0.7
    inner[:, :, 20:-20, 20:-20] = 0.7
    share = 84 * 84 / 100**2
    assert border(frame, flat(100, 100)) == pytest.approx(1 / math.sqrt(share * (1 - share)), rel=1e-3)
    assert border(inner, flat(100, 100)) == 0
    assert border(frame, frame) == 0
    noise = 0.5 + 0.1 * torch.randn(1, 3, 200, 200, generator=torch.Generator().manual_seed(0))
    quiet = noise.clone()
    quiet[:, :, :8] = 0.5 + (noise[:, :, :8] - 0.5) / 4
    assert border(noise, noise.flip(3)) < 0.15
    # One of four sides has a quarter of the contrast.
    assert border(quiet, noise) == pytest.approx(math.log(4) / 2, rel=0.1)


def test_haze_measures_lost_tonal_range() -> None:
    assert haze(0.3 + 0.4 * ramp(), ramp(), ramp()) == pytest.approx(0.6, abs=1e-6)
    assert haze(0.3 + 0.4 * ramp(), ramp(), 0.5 * ramp()) == pytest.approx(0.2, abs=1e-6)
    assert haze(flat(), ramp(), ramp()) == 1
    assert haze(ramp(), 0.5 * ramp(), ramp()) == 0
    assert haze(flat(), flat(), flat()) == 0  # the content has no range to lose
    speck = ramp().clone()
    speck[:, :, :1, :] = 1  # one white row in 64 must not hide the haze
    pale = 0.3 + 0.4 * ramp()
    pale[:, :, :1] = 1
    assert haze(pale, ramp(), ramp()) == pytest.approx(0.6, abs=0.02)


def grid(image: Tensor, period: int, height: float) -> Tensor:
    rows, columns = (torch.arange(side) // (period // 2) for side in image.shape[2:])
    return image + height * (((rows[:, None] + columns) % 2) * 2.0 - 1)


def waves(image: Tensor, period: int, height: float) -> Tensor:
    rows, columns = (torch.cos(2 * torch.pi * torch.arange(side) / period) for side in image.shape[2:])
    return image + height * rows[:, None] * columns


@pytest.mark.parametrize("side", [64, 97, 300])
def test_checkerboard_has_period_2_4_or_8_px(side: int) -> None:
    noise = 0.5 + 0.1 * torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(side))
    assert checkerboard(noise) == pytest.approx(1, abs=0.4)
    for period in (2, 4, 8):
        assert checkerboard(waves(noise, period, 0.1)) > 3
        assert checkerboard(grid(noise, period, 0.1)) > 10
    for period in (3, 5, 6, 10, 12, 16):
        assert checkerboard(waves(noise, period, 0.1)) < 1.4


def test_checkerboard_strength_ignores_size() -> None:
    noise = 0.5 + 0.1 * torch.randn(1, 3, 480, 480, generator=torch.Generator().manual_seed(1))
    small, large = (checkerboard(grid(noise[..., :side, :side], 8, 0.1)) for side in (160, 480))
    assert small == pytest.approx(large, rel=0.2)


# ---- artifacts in pictures -----------------------------------------------------------------------


def lone_pixels(image: Tensor) -> Tensor:
    where = torch.rand(image.shape[2:], generator=torch.Generator().manual_seed(5)) < 1 / 300
    return torch.where(where, 1.0, image)


def frame(image: Tensor) -> Tensor:
    framed = 0.75 * image
    framed[:, :, 8:-8, 8:-8] = image[:, :, 8:-8, 8:-8]
    return framed


def pale(image: Tensor) -> Tensor:
    return 0.2 + 0.6 * image


def grid_over(image: Tensor, period: int, share: float) -> Tensor:
    """Add a grid whose amplitude is a share of the RMS difference between neighboring pixels."""
    return grid(image, period, share * float(image.diff(dim=3).square().mean().sqrt())).clamp(0, 1)


ARTIFACTS: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "lone pixels": ("speckle", lone_pixels),
    "frame": ("border", frame),
    "pale": ("haze", pale),
    "grid of 4 px": ("checkerboard", lambda image: grid_over(image, 4, 0.25)),
    "grid of 8 px": ("checkerboard", lambda image: grid_over(image, 8, 0.6)),
}
MAX_CLEAN = {"speckle": 1.0, "border": 0.4, "haze": 0.1, "checkerboard": 1.4}
MIN_WITH_ARTIFACT = {"speckle": 2.0, "border": 0.5, "haze": 0.2, "checkerboard": 2.0}
PICTURES = ("cat", *(name for name in samples.PAINTINGS if name != "fire"))
"""Flames are so smooth that a grid counts as specks, too."""


@functools.cache
def sample(name: str) -> Tensor:
    source = samples.photo_path(name) if name in samples.PHOTOS else samples.paint(name, size_px=240)
    return images.load(source, long_side_px=240).pixels


def artifacts_of(image: Tensor, content: Tensor, style: Tensor) -> dict[str, float]:
    return {
        "speckle": speckle(image, content, style),
        "border": border(image, content),
        "haze": haze(image, content, style),
        "checkerboard": checkerboard(image),
    }


@pytest.mark.parametrize("name", PICTURES)
def test_clean_picture_has_no_artifacts(name: str) -> None:
    image = sample(name)
    values = artifacts_of(image, image, image)
    assert all(value <= MAX_CLEAN[artifact] for artifact, value in values.items()), values


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_each_artifact_raises_only_its_own_metric(name: str, artifact: str) -> None:
    clean = sample(name)
    metric, add_artifact = ARTIFACTS[artifact]
    values = artifacts_of(add_artifact(clean), clean, clean)
    assert values.pop(metric) >= MIN_WITH_ARTIFACT[metric]
    assert all(value < MIN_WITH_ARTIFACT[other] for other, value in values.items()), values


# ---- with the real networks ----------------------------------------------------------------------


@pytest.mark.weights
def test_stylized_picture_scores_between_content_and_style(
    photo: Path, painting: Path, score_networks: ScoreNetworks
) -> None:
    painted = impasto.stylize(photo, painting, size=128, iterations=30)
    by_content, by_style, stylized = (
        score_images(load_score_inputs(photo, painting, image), score_networks)
        for image in (images.load(photo, long_side_px=128).pixels, painting, painted.image)
    )
    assert stylized.style < by_content.style / 2
    assert stylized.content < by_style.content
    assert (by_content.content, by_style.style) == (0, 0)
    assert 0.3 < by_style.content < 1
    assert all(asdict(stylized)[artifact] <= limit for artifact, limit in MAX_CLEAN.items()), stylized
    assert stylized == score(photo, painting, painted.image)


@pytest.mark.weights
def test_lpips_orders_distortions_like_humans(photo: Path, score_networks: ScoreNetworks) -> None:
    """A shift by a pixel moves every pixel and is hardly seen; a blur of the same error is."""
    image = images.load(photo, long_side_px=200).pixels
    shifted = image.roll(1, dims=3)
    blurred = image
    while (blurred - image).square().mean() < (shifted - image).square().mean():
        blurred = F.avg_pool2d(F.pad(blurred, (1, 1, 1, 1), mode="replicate"), 3, 1)
    by_shift, by_blur = (
        lpips(score_networks.alexnet, score_networks.heads, image, other) for other in (shifted, blurred)
    )
    assert by_shift < by_blur / 2


@pytest.fixture
def at_the_desk(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(desk)
    return desk


@pytest.mark.weights
@pytest.mark.usefixtures("at_the_desk", "score_networks")
def test_command_prints_the_score(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "photo.jpg", "painting.png", "painting.png", "--json"]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.strip().splitlines()) == 1
    result = Score(**json.loads(captured.out))
    assert result == score("photo.jpg", "painting.png", "painting.png")
    assert result.style == 0
    assert main(["score", "photo.jpg", "painting.png", "painting.png"]) == 0
    table = capsys.readouterr().out
    for name, value in asdict(result).items():
        assert f"{name} " in table
        assert f"{value:.3f}" in table


@pytest.mark.weights
@pytest.mark.usefixtures("at_the_desk", "score_networks")
def test_scores_samples_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "sample:cat", "sample:swirl", "sample:cat", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["content"] == 0
    assert result["style"] > 0.5


def test_every_metric_has_a_description() -> None:
    assert list(MEANINGS) == list(Score.__dataclass_fields__)
    assert all(len(meaning) < 53 for meaning in MEANINGS.values())  # a line of 80 columns


def test_missing_network_error_says_what_to_download(
    at_the_desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(at_the_desk / "empty"))
    nowhere = WeightsFile("web", "http://127.0.0.1:9/heads.tar.gz", "0" * 64)
    monkeypatch.setitem(WEIGHTS, "lpips", replace(WEIGHTS["lpips"], files=(nowhere,)))
    assert main(["score", "photo.jpg", "painting.png", "photo.jpg", "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "The weights of lpips could not be fetched" in captured.err
    assert "impasto weights import FILE" in captured.err
    with pytest.raises(WeightsError, match="The weights of lpips could not be fetched"):
        score("photo.jpg", "painting.png", "photo.jpg")
