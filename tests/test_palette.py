"""Palettes: colors that a painting has not are moved to those that it has, smoothly and where asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.pixels import one_color
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import impasto
from impasto import images, samples
from impasto.config import Config
from impasto.core.tensor_store import RamStore
from impasto.errors import ConfigError
from impasto.images import palette as palettes
from impasto.images.color import recolor
from impasto.images.oklab import to_oklab
from impasto.images.palette import Palette, build_palette, move_to_palette
from impasto.metrics.colors import palette as palette_distance

STORE = RamStore()
SMALL: dict[str, Any] = {"size": 64, "iterations": 6, "precision": "float32"}


@pytest.fixture(scope="module")
def style() -> Tensor:
    return images.load(samples.paint("swirl", size_px=160), long_side_px=160).pixels


@pytest.fixture(scope="module")
def photo() -> Tensor:
    return images.load(samples.photo_path("cat"), long_side_px=160).pixels


def test_shift_is_the_weighted_mean_of_the_colors_nearby(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    palette = Palette(torch.rand(40, 3, generator=generator) * 0.1 + 0.2, torch.rand(40, generator=generator) + 0.5)
    node = torch.tensor([[25, 74, 71]]) * 0.01 + torch.tensor([0.0, -0.5, -0.5])  # on the grid: nothing to interpolate
    color = node[0].double().numpy()
    squares = ((palette.colors.double().numpy() - color) ** 2).sum(axis=1)
    near = 0.01**2 + 0.3**2 * squares.min()
    weights = palette.counts.double().numpy() * np.exp(-(squares - squares.min()) / (2 * near))
    expected = (weights[:, None] * palette.colors.double().numpy()).sum(axis=0) / weights.sum() - color
    monkeypatch.setattr(palettes, "PASSES", 1)
    assert palette.shift(node)[0].tolist() == pytest.approx(expected.tolist(), abs=1e-4)


def test_shift_is_continuous(style: Tensor) -> None:
    palette = build_palette([(1, style, None)])
    line = torch.linspace(0, 1, 4001)[:, None]
    colors = torch.tensor([0.15, -0.2, -0.2]) + line * torch.tensor([0.8, 0.4, 0.4])
    moved = colors + palette.shift(colors)
    steps, own = moved.diff(dim=0).norm(dim=1), float(colors.diff(dim=0).norm(dim=1).max())
    assert float(steps.max()) < 12 * own  # 0.0024 at most, a fourth of what is just visible


def test_far_colors_come_to_the_painting(style: Tensor, photo: Tensor) -> None:
    palette = build_palette([(1, style, None)])
    colors = to_oklab(photo).flatten(2)[0].T
    before, after = (
        float(torch.cdist(given, palette.colors).amin(dim=1).mean())
        for given in (colors, colors + palette.shift(colors))
    )
    assert before > 0.02
    assert after < before / 2


def test_picture_comes_closer_with_strength(style: Tensor, photo: Tensor) -> None:
    areas = [(None, build_palette([(1, style, None)]))]
    moved = [move_to_palette(STORE, photo, areas, strength) for strength in (0.0, 0.3, 0.7, 1.0)]
    distances = [palette_distance(image, style) for image in moved]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < distances[0] - 0.4


def test_colors_of_the_painting_stay(style: Tensor) -> None:
    moved = move_to_palette(STORE, style, [(None, build_palette([(1, style, None)]))], 1.0)
    assert float((to_oklab(moved) - to_oklab(style)).norm(dim=1).mean()) < 0.01


def test_strength_0_changes_nothing(style: Tensor, photo: Tensor) -> None:
    moved = move_to_palette(STORE, photo, [(None, build_palette([(1, style, None)]))], 0.0)
    assert torch.equal(moved, photo)


def test_gray_painting_gives_a_gray_picture(style: Tensor, photo: Tensor) -> None:
    gray = style.mean(dim=1, keepdim=True).expand_as(style)
    moved = move_to_palette(STORE, photo, [(None, build_palette([(1, gray, None)]))], 1.0)
    chroma = to_oklab(moved)[:, 1:].norm(dim=1)
    assert float(chroma.mean()) < 0.25 * float(to_oklab(photo)[:, 1:].norm(dim=1).mean())


def test_black_painting_gives_a_dark_picture(photo: Tensor) -> None:
    moved = move_to_palette(STORE, photo, [(None, build_palette([(1, one_color((0, 0, 0)), None)]))], 1.0)
    assert float(to_oklab(moved)[:, 0].mean()) < 0.35 * float(to_oklab(photo)[:, 0].mean())


def test_each_area_takes_its_own_palette(photo: Tensor) -> None:
    height, width = photo.shape[2:]
    left, right = torch.zeros(1, 1, height, width), torch.zeros(1, 1, height, width)
    left[..., : width // 3], right[..., -width // 3 :] = 1, 1
    areas = [
        (left, build_palette([(1, one_color((1, 0, 0)), None)])),
        (right, build_palette([(1, one_color((0, 0, 1)), None)])),
    ]
    moved = move_to_palette(STORE, photo, areas, 1.0)
    middle = (left + right)[0, 0] == 0
    assert torch.equal(moved[..., middle], photo[..., middle])  # protected pixels keep their bits
    red, blue = (moved[..., area[0, 0] == 1].mean(dim=(0, 2)) for area in (left, right))
    assert red[0] > red[2] + 0.2
    assert blue[2] > blue[0] + 0.2


def test_styles_count_by_share_and_by_their_visible_parts() -> None:
    red, blue = one_color((1, 0, 0)), one_color((0, 0, 1))
    mask = torch.zeros(1, 1, 24, 32)
    mask[..., 16:] = 1
    blue[..., :16] = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)  # green, and hidden
    palette = build_palette([(3, red, None), (1, blue, mask)])
    assert sorted(palette.counts.tolist()) == pytest.approx([2048, 6144], rel=1e-3)
    assert len(palette.colors) == 2


def test_small_part_of_a_painting_is_found() -> None:
    painting, mask = one_color((0, 0, 1), 900, 1200), torch.zeros(1, 1, 900, 1200)
    painting[..., 700:702, 300] = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1)
    mask[..., 700:702, 300] = 0.2
    palette = build_palette([(1, painting, mask)])
    assert palette.colors.tolist() == [
        pytest.approx(oklab, abs=1e-5) for oklab in to_oklab(one_color((1, 0, 0), 1, 1))[0, :, 0].T.tolist()
    ]


def test_row_blocks_do_not_change_the_result(style: Tensor, photo: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    areas = [(None, build_palette([(1, style, None)]))]
    whole = move_to_palette(STORE, photo, areas, 1.0)
    monkeypatch.setattr(palettes, "BLOCK_PX", 7 * photo.shape[3])
    torch.testing.assert_close(move_to_palette(STORE, photo, areas, 1.0), whole, rtol=0, atol=1e-5)


def test_smooth_gradient_does_not_band(style: Tensor) -> None:
    """A sky of 200 levels keeps its levels: a step between neighbors stays below twice a level of 8 bits."""
    ramp = torch.linspace(0.3, 0.8, 200)
    sky = torch.stack([0.5 * ramp, 0.8 * ramp, ramp]).view(1, 3, 1, 200).expand(1, 3, 40, 200).clone()
    moved = to_oklab(move_to_palette(STORE, sky, [(None, build_palette([(1, style, None)]))], 1.0))
    steps = moved.diff(dim=3).norm(dim=1)
    assert float(steps.max()) < 0.02
    assert len(torch.unique((moved[0, 0, 20] * 1000).round())) > 40


def test_recolored_content_has_the_mean_and_covariance_of_the_paintings(style: Tensor, photo: Tensor) -> None:
    mild = 0.5 + 0.6 * (photo - photo.mean())
    wanted = 0.5 + 0.6 * (style - style.mean())
    recolored = recolor(STORE, mild.clamp(0.1, 0.9), [(2.0, wanted.clamp(0.1, 0.9), None)])
    ours, theirs = (to_oklab(image).flatten(2)[0] for image in (recolored, wanted.clamp(0.1, 0.9)))
    torch.testing.assert_close(ours.mean(dim=1), theirs.mean(dim=1), rtol=0, atol=0.01)
    torch.testing.assert_close(torch.cov(ours), torch.cov(theirs), rtol=0.15, atol=2e-4)


# ---- in a run ------------------------------------------------------------------------------------


@pytest.mark.weights
def test_color_palette_brings_the_paintings_colors(photo: Tensor, style: Tensor) -> None:
    by_style, by_palette, weak = (
        impasto.stylize(photo, style, **SMALL, color="style", palette_strength=strength).image
        for strength in (None, 1.0, 0.3)
    )
    assert torch.equal(by_palette, impasto.stylize(photo, style, **SMALL, color="palette").image)
    distances = [palette_distance(image, style) for image in (by_palette, weak, by_style)]
    assert distances == sorted(distances)
    assert distances[0] < 0.8 * distances[2]


@pytest.mark.weights
def test_protected_parts_keep_their_colors(photo: Tensor, style: Tensor) -> None:
    protect = np.zeros(photo.shape[2:], np.float32)
    protect[:, : photo.shape[3] // 2] = 1
    result = impasto.stylize(photo, style, **SMALL, color="palette", recolor_content=True, protect=protect).image
    original = images.load(photo, long_side_px=64).pixels
    half = original.shape[3] // 2 - 5  # the mask was resized
    assert torch.equal(result[..., :half], original[..., :half])


@pytest.mark.weights
def test_recipe_records_the_palette(photo: Tensor, style: Tensor, tmp_path: Path) -> None:
    path = impasto.stylize(photo, style, **SMALL, color="palette", recolor_content=True).save(tmp_path / "a.png")
    recipe = impasto.read_recipe(path)
    assert (recipe.config.color, recipe.resolved.palette_strength, recipe.config.recolor_content) == (
        "palette",
        1.0,
        True,
    )


def test_luminance_takes_no_palette() -> None:
    for options in ({"palette_strength": 0.5}, {"recolor_content": True}):
        with pytest.raises(ConfigError, match="keeps the photo's colors"):
            Config(color="luminance", **options)


def test_colors_do_not_depend_on_pictures_before(style: Tensor, photo: Tensor) -> None:
    fresh, used = (build_palette([(1, style, None)]) for _ in range(2))
    move_to_palette(STORE, photo.flip(1)[:, :, :97], [(None, used)], 1.0)  # previews compute parts of the map
    assert torch.equal(
        move_to_palette(STORE, photo, [(None, fresh)], 1.0), move_to_palette(STORE, photo, [(None, used)], 1.0)
    )


class MeasureTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the bytes of the largest tensor that an operation returns."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.largest = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        """Run an operation."""
        result = function(*arguments, **(options or {}))
        if isinstance(result, Tensor):
            self.largest = max(self.largest, result.nbytes)
        return result


def test_map_of_many_colors_takes_little_memory() -> None:
    noise = [torch.rand(1, 3, 100, 100, generator=torch.Generator().manual_seed(seed)) for seed in range(5)]
    palette = build_palette([(0.2, pixels, None) for pixels in noise])
    assert len(palette.colors) > 20_000
    with MeasureTensors() as measured:
        move_to_palette(STORE, noise[0], [(None, palette)], 1.0)
    assert measured.largest < 30e6  # the map itself has 25 MB


def test_style_without_a_share_has_no_colors(style: Tensor) -> None:
    alone, beside = (
        build_palette([(1, style, None)]),
        build_palette([(1, style, None), (0, one_color((1, 0, 0)), None)]),
    )
    assert torch.equal(alone.colors, beside.colors)


def test_masks_follow_the_size_of_the_picture(style: Tensor) -> None:
    left = torch.zeros(1, 1, 48, 64)
    left[..., :32] = 1
    picture = one_color((0.9, 0.2, 0.8))
    moved = move_to_palette(STORE, picture, [(left, build_palette([(1, style, None)]))], 1.0)
    assert torch.equal(moved[..., 20:], picture[..., 20:])
    assert float((moved - picture)[..., :12].abs().max()) > 0.05
