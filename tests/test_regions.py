"""Regions: what each is painted from, what stays as it is, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import torch
from builders.networks import narrow, random_weights
from builders.objectives import assert_same_evaluation, resolve_config, tiny_config
from builders.runs import build_run, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

import impasto
from impasto.cli import main
from impasto.config import Inputs, RunOptions
from impasto.config.networks import ALEXNET, VGG19, Network
from impasto.core.encoder import Encoder
from impasto.core.evaluate import AutogradEngine
from impasto.core.masks import Region, StyleUse, downsample_masks
from impasto.core.method import stylize_steps
from impasto.core.statistics import compute_moments, compute_moments_by_region, gram_matrix
from impasto.core.targets import build_objective
from impasto.core.tensor_store import RamStore
from impasto.engine.disk_store import DiskStore
from impasto.engine.tiled import TiledEngine
from impasto.errors import ConfigError, ImageError
from impasto.images import load, load_mask
from impasto.run import drive
from impasto.run.loading import load_inputs
from impasto.run.mask_pairing import pair_masks

HEIGHT, WIDTH = 40, 56
RUN = RunOptions()


def left(height: int = HEIGHT, width: int = WIDTH, share: float = 0.5) -> Tensor:
    """White on the left, black on the right."""
    mask = torch.zeros(1, 1, height, width)
    mask[..., : round(share * width)] = 1
    return mask


def array(mask: Tensor) -> np.ndarray:
    return mask[0, 0].numpy()


def labels(*columns: tuple[int, int, int], height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Columns of equal width, one color each."""
    row = np.repeat(np.array(columns, dtype=np.uint8), -(-width // len(columns)), axis=0)[:width]
    return np.broadcast_to(row, (height, width, 3)).copy()


RED, GREEN, BLUE = (255, 0, 0), (0, 200, 0), (0, 0, 255)


def paint(encoder: Encoder, *, iterations: int = 8, options: dict[str, Any] | None = None, **inputs: Any) -> Tensor:
    config = tiny_config(styles=len(inputs.get("styles", "1")), iterations=iterations, **(options or {}))
    return drive(build_run(encoder, config, **inputs)).image


@settings(deadline=None)
@given(seed=st.integers(0, 99))
def test_region_moments_add_up(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(1, 4, 6, 7, generator=generator, dtype=torch.float64)
    soft = torch.rand(6, 7, generator=generator, dtype=torch.float64)
    one, two = compute_moments_by_region(features, torch.stack([soft, 1 - soft]))
    whole = compute_moments(features)
    torch.testing.assert_close((one + two).sum, whole.sum)
    torch.testing.assert_close((one + two).outer, whole.outer)
    assert one.count + two.count == pytest.approx(42)


def test_guided_gram_matrix_by_hand() -> None:
    """G = (F∘T)(F∘T)ᵀ with ΣT² = 1, where T is a region's root mask: of its own positions only."""
    features = torch.tensor([[[[1.0, 0.0, 3.0]], [[2.0, 1.0, -1.0]]]])
    result = gram_matrix(compute_moments(features, torch.tensor([[1.0, 0.5, 0.0]])))
    guide = torch.tensor([1.0, 0.5, 0.0])
    t = (guide / guide.sum()).sqrt()
    weighted = features[0].flatten(1) * t
    torch.testing.assert_close(result, weighted @ weighted.T)
    alone = gram_matrix(compute_moments(features[..., :1]))
    torch.testing.assert_close(gram_matrix(compute_moments(features, torch.tensor([[1.0, 0.0, 0.0]]))), alone)


@pytest.mark.parametrize("network", [narrow(VGG19, 8), narrow(ALEXNET, 8)], ids=lambda network: network.name)
@pytest.mark.parametrize(("tile_px", "join"), [(None, None), (64, None), (64, "pool1"), (64, "pool2")])
@pytest.mark.parametrize("style_loss", ["gram", "wasserstein", "neighbor"])
def test_region_gradients_match_whole_and_tiled(
    network: Network, tile_px: int | None, join: str | None, style_loss: str
) -> None:
    encoder = Encoder(network, random_weights(network), dtype=torch.float64)
    plain, engine = AutogradEngine(encoder), TiledEngine(encoder, tile_px=tile_px, join=join)
    content, style, other = (
        torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        for seed, size in enumerate([(70, 90), (64, 77), (90, 52)])
    )
    soft = torch.linspace(0, 1, 90).expand(1, 1, 70, 90).clone()
    soft[..., :20] = 0
    regions = (
        Region(soft, 0.4, (StyleUse(0, 0.7, left(64, 77)), StyleUse(1, 0.3, None))),
        Region(1 - soft, 0.6, (StyleUse(1, 1.0, None),)),
    )
    config = resolve_config(network=network.name, style_loss=style_loss, alpha=3)
    styles = [(0.5, style), (0.5, other)]
    whole, tiled = (build_objective(of, content, styles, config, regions) for of in (plain, engine))
    tolerance = 1e-5 if style_loss == "wasserstein" else 1e-10
    for a, b in zip(whole.style, tiled.style, strict=True):
        assert [part.share for part in a.regions] == ([] if style_loss == "neighbor" else [0.4, 0.6])
        for one, two in zip(a.regions, b.regions, strict=True):
            torch.testing.assert_close(two.value, one.value, rtol=tolerance, atol=tolerance)
    target = torch.rand(content.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    alpha = whole.config.alpha
    assert_same_evaluation(engine.evaluator(whole, alpha)(target), plain.evaluator(whole, alpha)(target), tolerance)
    measured, expected = (each.measure(whole, target, alpha).as_floats() for each in (engine, plain))
    assert measured == pytest.approx(expected)


def test_downsampled_mask_is_the_mean_of_each_cell(tiny: Encoder) -> None:
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :3] = 1
    guides = downsample_masks([mask, None], tiny.network, ["relu1_1", "relu2_1"], torch.zeros(1, 3, 8, 8), RamStore())
    assert torch.equal(guides["relu1_1"][0], mask[0, 0])
    assert guides["relu2_1"][0][0].tolist() == [1, 0.5, 0, 0]
    assert bool((guides["relu2_1"][1] == 1).all())


def is_nearer(image: Tensor, part: slice, one: Tensor, two: Tensor) -> bool:
    """Return True if the mean color of a part is nearer to `one` than to `two`."""
    color = image[..., part].mean(dim=(0, 2, 3))
    return bool((color - one.mean(dim=(0, 2, 3))).norm() < (color - two.mean(dim=(0, 2, 3))).norm())


ORANGE = picture(2) * torch.tensor([1.0, 0.5, 0.1]).view(1, 3, 1, 1)
TEAL = picture(3) * torch.tensor([0.1, 0.6, 0.6]).view(1, 3, 1, 1)
HALF = WIDTH // 2
PAINT: dict[str, Any] = {"iterations": 40, "options": {"alpha": 1000, "scales": 1}}


def test_each_region_uses_its_own_style(tiny: Encoder) -> None:
    masks = (array(left()), 1 - array(left()))
    image = paint(tiny, styles=(ORANGE, TEAL), content_masks=masks, **PAINT)
    assert is_nearer(image, slice(0, HALF), ORANGE, TEAL)
    assert is_nearer(image, slice(HALF, WIDTH), TEAL, ORANGE)
    swapped = paint(tiny, styles=(TEAL, ORANGE), content_masks=masks, **PAINT)
    assert is_nearer(swapped, slice(0, HALF), TEAL, ORANGE)


def test_mask_pairs_divide_one_style(tiny: Encoder) -> None:
    style = torch.cat([ORANGE, TEAL], dim=3)
    at_left = left(HEIGHT, 2 * WIDTH)
    masks = (array(left()), 1 - array(left()))
    image = paint(tiny, styles=(style,), content_masks=masks, style_masks=(array(1 - at_left), array(at_left)), **PAINT)
    assert is_nearer(image, slice(0, HALF), TEAL, ORANGE)
    assert is_nearer(image, slice(HALF, WIDTH), ORANGE, TEAL)


def test_labels_pair_regions_by_color(tiny: Encoder) -> None:
    style = torch.cat([ORANGE, TEAL], dim=3)
    masks: dict[str, Any] = {
        "content_masks": (labels(RED, BLUE),),
        "style_masks": (labels(BLUE, GREEN, RED, RED, width=2 * WIDTH),),
    }
    image = paint(tiny, styles=(style,), **masks, **PAINT)
    assert is_nearer(image, slice(0, HALF), TEAL, ORANGE)
    assert is_nearer(image, slice(HALF, WIDTH), ORANGE, TEAL)


def test_style_mask_limits_what_is_measured(tiny: Encoder) -> None:
    style = torch.cat([ORANGE, TEAL], dim=3)
    whole = slice(0, WIDTH)
    image = paint(tiny, styles=(style,), style_masks=(array(left(HEIGHT, 2 * WIDTH)),), **PAINT)
    assert is_nearer(image, whole, ORANGE, TEAL)


@pytest.mark.parametrize("color", ["style", "luminance"])
@pytest.mark.parametrize("scales", [1, 2])
def test_protected_pixels_equal_the_content(tiny: Encoder, color: str, scales: int) -> None:
    protect = left()
    protect[..., 27:29] = 0.5
    content = picture(1)
    image = paint(tiny, protect=array(protect), options={"color": color, "scales": scales})
    assert torch.equal(image[..., :27], content[..., :27])
    assert (image[..., 30:] - content[..., 30:]).abs().mean() > 0.02


def test_uncovered_pixels_stay_unchanged(tiny: Encoder) -> None:
    image = paint(tiny, content_masks=(array(left()),))
    assert torch.equal(image[..., HALF:], picture(1)[..., HALF:])
    assert (image[..., :HALF] - picture(1)[..., :HALF]).abs().mean() > 0.02


def test_preview_shows_protected_pixels(tiny: Encoder) -> None:
    inputs = Inputs(content=picture(1), styles=(picture(2),), protect=array(left()))
    config, engine = tiny_config(iterations=2, scales=1), AutogradEngine(tiny)
    for progress in stylize_steps(load_inputs(inputs, config, RUN, engine), config, engine=engine):
        assert torch.equal(progress.image[..., :HALF], picture(1)[..., :HALF])


def test_full_masks_paint_like_no_mask(tiny: Encoder) -> None:
    plain = paint(tiny)
    torch.testing.assert_close(paint(tiny, content_masks=(np.ones((40, 56)),)), plain, rtol=0, atol=1e-4)
    torch.testing.assert_close(paint(tiny, protect=np.zeros((40, 56))), plain, rtol=0, atol=1e-4)


def test_region_weight_is_area_times_style_share() -> None:
    mask = left(share=0.25)
    areas = [{"": mask}, {"": 1 - mask}]
    shares = [region.share for region in pair_masks(areas, [], [0.5, 0.5], torch.ones_like(mask), RamStore())]
    assert shares == pytest.approx([0.25, 0.75])
    shares = [region.share for region in pair_masks(areas, [], [0.75, 0.25], torch.ones_like(mask), RamStore())]
    assert shares == pytest.approx([0.5, 0.5])


def test_overlapping_masks_share_pixels() -> None:
    ones = torch.ones(1, 1, 4, 4)
    regions = pair_masks([{"": ones}, {"": ones}, {"": left(4, 4)}], [], [1 / 3] * 3, ones, RamStore())
    total = torch.stack([region.mask for region in regions]).sum(dim=0)
    torch.testing.assert_close(total, ones)
    assert float(regions[0].mask[0, 0, 0, 0]) == pytest.approx(1 / 3)
    assert float(regions[0].mask[0, 0, 0, 3]) == pytest.approx(1 / 2)


MASK = array(left())
WHOLE: dict[str, Any] = {"content": picture(1), "styles": (picture(2),)}
TWO: dict[str, Any] = {"styles": (picture(2), picture(3))}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"content_masks": (MASK, MASK)}, "2 content masks and 1 style\\."),
        (TWO | {"content_masks": (MASK,)}, "1 content mask and 2 styles"),
        ({"content_masks": (MASK, MASK), "style_masks": (MASK,)}, "in pairs"),
        (TWO | {"style_masks": (MASK,)}, "2 styles and 1 style mask.*one mask for each style"),
        ({"content_masks": (0 * MASK,)}, "Content mask 1 is empty"),
        ({"content_masks": (MASK,), "style_masks": (0 * MASK,)}, "Style mask 1 is empty"),
        ({"protect": np.ones((40, 56))}, "empty.*protected"),
        ({"content_masks": (labels(RED, BLUE),)}, "colored style masks"),
        ({"content_masks": (labels(RED, BLUE),), "style_masks": (labels(RED, GREEN),)}, "#0000ff.*#ff0000"),
        ({"content_masks": (labels(RED, BLUE),), "style_masks": (MASK,)}, "labels all regions at once"),
        ({"protect": labels(RED, BLUE)}, "Give `protect` a gray mask"),
    ],
)
def test_mismatched_masks_are_a_one_line_error(tiny: Encoder, inputs: dict[str, Any], message: str) -> None:
    run_inputs = Inputs(**(WHOLE | inputs))
    with pytest.raises(ConfigError, match=message) as caught:
        load_inputs(run_inputs, tiny_config(styles=len(run_inputs.styles)), RUN, AutogradEngine(tiny))
    assert "\n" not in str(caught.value)


def test_feature_style_losses_refuse_regions(tiny: Encoder) -> None:
    with pytest.raises(ConfigError, match=r"sliced-wasserstein.*does not support masks"):
        load_inputs(
            Inputs(**WHOLE, protect=MASK), tiny_config(style_loss="sliced-wasserstein"), RUN, AutogradEngine(tiny)
        )


def read(source: Any, height: int = HEIGHT, width: int = WIDTH, **options: Any) -> Any:
    return load_mask(source, height, width, what="photo.jpg", max_megapixels=250, store=RamStore(), **options).areas


def test_refuses_a_mask_of_another_aspect() -> None:
    with pytest.raises(ImageError, match=r"40x56 px, and photo\.jpg 56x40.*aspect"):
        read(MASK.T)


def test_mask_is_resized_and_oriented_by_its_own_exif(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    upright = Image.fromarray((array(left(80, 112)) * 255).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # EXIF 6 rotates a quarter turn clockwise, so store the opposite rotation
    upright.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)
    mask = read(path)[""]
    assert mask.shape == (1, 1, HEIGHT, WIDTH)
    assert float(mask[..., : HALF - 1].min()) > 0.95
    assert float(mask[..., HALF + 1 :].max()) < 0.05


def test_mask_matches_a_photo_rotated_by_exif(tmp_path: Path, tiny: Encoder) -> None:
    """Masks follow the photo as displayed, after its EXIF rotation."""
    upright = Image.fromarray((picture(1)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8))
    path, exif = tmp_path / "turned.jpg", Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)
    displayed, image = load(path).pixels, paint(tiny, content=path, protect=array(left()))
    assert torch.equal(image[..., :HALF], displayed[..., :HALF])
    assert (image[..., HALF:] - displayed[..., HALF:]).abs().mean() > 0.02
    assert (displayed - picture(1)).abs().mean() < 0.05


def test_transparent_pixels_have_no_label(tmp_path: Path) -> None:
    label_map = np.dstack([labels(RED, BLUE, GREEN, GREEN), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    label_map[:, HALF:, 3] = 0
    Image.fromarray(label_map).save(tmp_path / "labels.png")
    areas = read(tmp_path / "labels.png")
    assert set(areas) == {"#ff0000", "#0000ff"}
    assert all(float(area[..., HALF:].max()) == 0 for area in areas.values())


@pytest.mark.parametrize("kind", ["labels", "soft"])
def test_masks_on_disk_match_masks_in_memory(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = np.linspace(0, 1, WIDTH * HEIGHT, dtype=np.float32).reshape(HEIGHT, WIDTH)
    label_map = labels(RED, BLUE, GREEN) if kind == "labels" else ramp
    whole = read(label_map)
    for module in ("read", "row_blocks"):
        monkeypatch.setattr(f"impasto.images.{module}.BLOCK_PX", WIDTH * 7)
    scratch = DiskStore(tmp_path)
    parts = load_mask(label_map, HEIGHT, WIDTH, what="", max_megapixels=250, store=scratch).areas
    assert set(parts) == set(whole)
    assert all(torch.equal(parts[color], whole[color]) for color in whole)
    content = [parts] if kind == "labels" else [parts, {"": torch.ones(1, 1, HEIGHT, WIDTH)}]
    style, shares = ([parts], [1.0]) if kind == "labels" else ([], [0.5, 0.5])
    free = left(share=0.75)
    one, two = (pair_masks(content, style, shares, free, store) for store in (RamStore(), scratch))
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a.mask, b.mask)
        assert a.share == pytest.approx(b.share)
    torch.testing.assert_close(torch.stack([region.mask for region in two]).sum(dim=0), free)


def test_transparent_mask_pixels_are_black(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    white = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    white[..., 3] = (MASK * 255).astype(np.uint8)
    Image.fromarray(white).save(path)
    torch.testing.assert_close(read(path)[""], left())


def test_mask_edges_keep_16_bits(tmp_path: Path) -> None:
    path = tmp_path / "soft.png"
    ramp = np.broadcast_to(np.linspace(0, 65535, WIDTH).round(), (HEIGHT, WIDTH)).astype(np.uint16)
    pyvips.Image.new_from_array(ramp).copy(interpretation="grey16").write_to_file(str(path))
    torch.testing.assert_close(read(path)[""][0, 0, 0], torch.linspace(0, 1, WIDTH), rtol=0, atol=1e-4)


def test_finds_labels_despite_smoothing_and_noise() -> None:
    label_map = labels(RED, GREEN, BLUE, height=120, width=180).astype(int)
    label_map[:, 59] = (120, 100, 0)
    label_map[:, 119] = (0, 100, 130)
    label_map[1::7, ::5] = np.clip(label_map[1::7, ::5] + 12, 0, 255)
    areas = read(label_map.astype(np.uint8), 120, 180)
    assert set(areas) == {"#ff0000", "#00c800", "#0000ff"}
    assert [float(area.mean()) for area in areas.values()] == pytest.approx([1 / 3] * 3, abs=0.01)
    torch.testing.assert_close(torch.stack(list(areas.values())).sum(dim=0), torch.ones(1, 1, 120, 180))


def test_label_may_be_a_mix_of_two_others() -> None:
    purple = (128, 0, 128)
    areas = read(labels(RED, purple, BLUE, RED, BLUE, RED, BLUE, RED))
    assert set(areas) == {"#ff0000", "#800080", "#0000ff"}


def test_known_labels_exclude_other_colors() -> None:
    areas = read(labels(RED, GREEN), labels=("#ff0000", "#0000ff"))
    assert list(areas) == ["#ff0000"]


def test_refuses_a_photo_as_label_map(photo: Path) -> None:
    with Image.open(photo) as image, pytest.raises(ImageError, match="colors that fill regions"):
        read(photo, image.height, image.width)
    height, width = 96, 144
    with pytest.raises(ImageError, match="colors that fill regions"):
        read(np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8), height, width)


@pytest.mark.weights
def test_masked_run_is_reproduced(photo: Path, painting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Image.open(photo) as image:
        width, height = image.size
    for name, mask in (
        ("sky", left(height, width)),
        ("ground", 1 - left(height, width)),
        ("keep", left(height, width, 0.2)),
    ):
        Image.fromarray((array(mask) * 255).astype(np.uint8)).save(f"{name}.png")
    command = ["stylize", str(photo), str(painting), str(painting), "--size", "64", "--iterations", "2"]
    masks = ["--content-mask", "sky.png", "--content-mask", "ground.png", "--protect", "keep.png"]
    assert main([*command, *masks, "-o", "one.png"]) == 0
    recorded = impasto.read_recipe(Path("one.png")).inputs
    assert set(recorded) == {"content", "style", "style_2", "content_mask", "content_mask_2", "protect"}
    again = ["reproduce", "one.png", "--content", str(photo), "--style", str(painting), "--style", str(painting)]
    assert main([*again, "-o", "two.png"]) == 0
    assert np.array_equal(np.asarray(Image.open("one.png")), np.asarray(Image.open("two.png")))
    Path("sky.png").rename("clouds.png")
    assert main([*again, "-o", "three.png"]) == 2
    assert main([*again, "-o", "three.png", "--content-mask", "clouds.png", "--content-mask", "ground.png"]) == 0
