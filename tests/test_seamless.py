"""Pictures whose edges meet: exact operations, whole and in tiles, at every size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from builders.networks import narrow, random_weights
from builders.objectives import assert_same_evaluation, evaluate_plain, plain_objective, relative_error, resolve_config
from builders.pixels import random_image
from builders.runs import build_run, picture
from torch import Tensor

import impasto
from impasto.config import Config
from impasto.config.networks import VGG19
from impasto.config.wrap import Dims, Wrap, fit_sides, wrapped_dims
from impasto.core.cells import Cells, describe, fit_basis
from impasto.core.encoder import Encoder, Padding
from impasto.core.evaluate import AutogradEngine, Evaluation
from impasto.core.image import resize
from impasto.core.losses import laplacian, total_variation
from impasto.core.matching import Area, find_matches
from impasto.core.preconditioner import fourier_filter
from impasto.core.pyramid import plan_scales
from impasto.core.seam import close_seam
from impasto.core.targets import _inside as inside
from impasto.core.tensor_store import RamStore
from impasto.engine.kernels import best_set
from impasto.engine.memory import Workload, memory_needs
from impasto.engine.tiled import TiledEngine
from impasto.engine.tiles import cut_tiles
from impasto.errors import ConfigError
from impasto.images.palette import build_palette, move_to_palette
from impasto.metrics.artifacts import seam
from impasto.run import Result, drive
from impasto.run.checkpoint import read_checkpoint

WRAPS: list[Wrap] = ["x", "y", "both"]


def roll(image: Tensor, wrap: Wrap, share: int = 2) -> Tensor:
    """Shift an image along its wrapped dimensions, by half of each."""
    dims = wrapped_dims(wrap)
    return image.roll([image.shape[dim] // share for dim in dims], dims)


def double(padding: Padding = "replicate", pooling: Any = "max") -> Encoder:
    network = narrow(VGG19, 8)
    return Encoder(network, random_weights(network), padding=padding, pooling=pooling, dtype=torch.float64)


def measure(engine: Any, config: Any, size: tuple[int, int], wrap: Wrap, *, rolled: bool = False) -> Evaluation:
    """Evaluate an image against a content, both rolled by half if asked."""
    content, style, target = (random_image(seed, *size).to(engine.encoder.mean) for seed in (1, 2, 3))
    if rolled:
        content, target = roll(content, wrap), roll(target, wrap)
    objective = plain_objective(engine.encoder, content, style, config)
    evaluation: Evaluation = engine.evaluator(objective, 5.0)(target)
    return evaluation


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("padding", ["zero", "replicate", "reflect"])
def test_rolling_changes_nothing(wrap: Wrap, padding: Padding) -> None:
    config = resolve_config(wrap=wrap, tv_weight=0.3, laplacian_weight=0.7)
    engine = AutogradEngine(double(padding))
    plain, rolled = (measure(engine, config, (32, 64), wrap, rolled=rolled) for rolled in (False, True))
    assert rolled.losses.as_floats() == pytest.approx(plain.losses.as_floats(), rel=1e-10)
    assert relative_error(rolled.gradient, roll(plain.gradient, wrap)) < 1e-10


SHALLOW = {"content_layers": "relu2_1", "style_layers": "relu1_1,relu2_1,relu3_1"}


def compare_with_autograd(
    encoder: Encoder, wrap: Wrap, tile_px: int | None, join: str | None = None, **options: Any
) -> None:
    config = resolve_config(
        wrap=wrap, tv_weight=0.3, laplacian_weight=0.7, tv_norm="absolute", content_loss="scaled", **options
    )
    # Along a dimension that does not wrap, a side may be odd.
    size = (64 if 2 in wrapped_dims(wrap) else 61, 112 if 3 in wrapped_dims(wrap) else 107)
    tiled = TiledEngine(encoder, tile_px=tile_px, join=join)
    assert_same_evaluation(
        measure(tiled, config, size, wrap), measure(AutogradEngine(encoder), config, size, wrap), 1e-11
    )


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("padding", ["zero", "reflect", "replicate"])
@pytest.mark.parametrize(("tile_px", "join"), [(None, None), (32, None), (32, "pool1"), (64, None), (64, "pool2")])
def test_whole_and_tiled_gradients_are_those_of_autograd(
    wrap: Wrap, padding: Padding, tile_px: int | None, join: str | None
) -> None:
    """Tiles of 64 px take whole columns, whose edges meet without a margin."""
    compare_with_autograd(double(padding, "avg" if padding == "zero" else "max"), wrap, tile_px, join, **SHALLOW)


def test_margins_may_reach_around_the_whole_image() -> None:
    compare_with_autograd(double(), "both", 48)


def test_gradient_is_that_of_the_loss() -> None:
    encoder = double()
    config = resolve_config(wrap="both", tv_weight=0.3, laplacian_weight=0.7)
    content, style, target = (random_image(seed, 32, 48).double() for seed in (1, 2, 3))
    objective = plain_objective(encoder, content, style, config)
    change, step = random_image(4, 32, 48).double() - 0.5, 1e-6
    after, before = (evaluate_plain(encoder, objective, target + sign * step * change) for sign in (1, -1))
    slope = float(after.losses.total - before.losses.total) / (2 * step)
    gradient = TiledEngine(encoder).evaluator(objective, 5.0)(target).gradient
    assert float((gradient * change).sum()) == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("wrap", WRAPS)
def test_features_of_tiles_are_those_of_the_whole(wrap: Wrap) -> None:
    encoder, layers = double(), ["relu1_1", "relu3_1", "pool2"]
    image = random_image(1, 80, 112).double()
    expected = encoder(image, layers, wrapped_dims(wrap))
    for tile_px in (None, 32):
        features = TiledEngine(encoder, tile_px=tile_px).features(image, layers, wrapped_dims(wrap))
        for name in layers:
            torch.testing.assert_close(features[name], expected[name], rtol=1e-10, atol=1e-12)


def test_one_encoder_measures_styles_with_their_own_padding() -> None:
    """The first layer is prepared for both kinds of padding."""
    encoder, image = double("zero"), random_image(1, 32, 32).double()
    engine = TiledEngine(encoder)
    for wrap in ((), (2, 3), ()):
        torch.testing.assert_close(
            engine.features(image, ["relu2_1"], wrap)["relu2_1"], encoder(image, ["relu2_1"], wrap)["relu2_1"]
        )


@pytest.mark.weights
@pytest.mark.parametrize("options", [{}, {"kernels": best_set(), "winograd_channels": 64}, {"winograd_channels": 64}])
def test_fast_convolutions_are_circular(vgg19: Encoder, options: dict[str, Any]) -> None:
    config = resolve_config(wrap="both")
    engine = TiledEngine(vgg19, **options)
    plain, rolled = (measure(engine, config, (64, 96), "both", rolled=rolled) for rolled in (False, True))
    exact = measure(AutogradEngine(vgg19), config, (64, 96), "both")
    assert plain.losses.as_floats() == pytest.approx(exact.losses.as_floats(), rel=1e-4)
    assert float(rolled.losses.total) == pytest.approx(float(plain.losses.total), rel=1e-5)


@pytest.mark.weights
def test_fast_types_are_circular(vgg19: Encoder) -> None:
    config = resolve_config(wrap="both")
    engine = TiledEngine(vgg19, dtype=torch.bfloat16, winograd_channels=64, kernels=best_set())
    result, exact = (measure(each, config, (64, 96), "both") for each in (engine, AutogradEngine(vgg19)))
    assert result.losses.as_floats() == pytest.approx(exact.losses.as_floats(), rel=0.03)
    assert relative_error(result.gradient, exact.gradient) < 0.15


def test_sides_that_the_network_cannot_divide_are_refused_by_the_engine(tiny64: Encoder) -> None:
    with pytest.raises(ValueError, match="a side of 33 px cannot wrap: it must be a multiple of 2"):
        TiledEngine(tiny64).features(random_image(1, 32, 33).double(), ["relu2_1"], (3,))


@pytest.mark.parametrize("dims", [(2,), (3,), (2, 3)])
def test_losses_of_pixels_go_on_across_edges(dims: Dims) -> None:
    image = random_image(1, 12, 16).double()
    moved = image.roll([5] * len(dims), dims)
    for norm in ("squared", "absolute"):
        assert float(total_variation(image, norm, dims)) == pytest.approx(float(total_variation(moved, norm, dims)))
    torch.testing.assert_close(laplacian(moved, dims), laplacian(image, dims).roll([5] * len(dims), dims))
    assert float(total_variation(image)) != pytest.approx(float(total_variation(moved)))


@pytest.mark.parametrize("dims", [(2,), (3,), (2, 3)])
def test_preconditioner_goes_on_across_edges(dims: Dims) -> None:
    image = random_image(1, 32, 48).double()
    smooth = fourier_filter(image, wrap=dims)
    moved = image.roll([7] * len(dims), dims)
    torch.testing.assert_close(smooth(moved), smooth(image).roll([7] * len(dims), dims))
    step = torch.zeros_like(image)
    step[..., :4] = 1
    assert float(fourier_filter(step, wrap=(3,))(step)[..., -1].mean()) > 0.05
    assert float(fourier_filter(step)(step)[..., -1].abs().mean()) < 0.02


@pytest.mark.parametrize(("before", "after"), [(32, 64), (64, 32), (32, 48), (48, 47), (47, 96), (16, 5), (5, 16)])
def test_resizing_goes_on_across_edges(before: int, after: int) -> None:
    """Resizing three copies side by side gives the middle one."""
    image = random_image(1, before, before)
    three = resize(torch.cat([image] * 3, dim=3), before, 3 * after)[..., after : 2 * after]
    result = resize(image, before, after, (3,))
    torch.testing.assert_close(result, three, rtol=1e-4, atol=1e-5)
    tall = resize(image.transpose(2, 3), after, before, (2,)).transpose(2, 3)
    torch.testing.assert_close(tall, result, rtol=1e-4, atol=1e-5)


def test_resizing_leaves_the_other_dimension_alone() -> None:
    image = random_image(1, 32, 48)
    torch.testing.assert_close(resize(image, 20, 48, (3,)), resize(image, 20, 48), rtol=1e-5, atol=1e-6)
    inner = resize(image, 64, 96, (2, 3))[:, :, 8:-8, 8:-8]
    torch.testing.assert_close(inner, resize(image, 64, 96)[:, :, 8:-8, 8:-8], rtol=1e-4, atol=1e-5)


def test_palette_goes_on_across_edges() -> None:
    store, image, style = RamStore("cpu"), random_image(1, 32, 48), random_image(2, 40, 40) * 0.5
    mask = random_image(3, 32, 48, 1)
    for areas in ([(None, build_palette([(1.0, style, None)]))], [(mask, build_palette([(1.0, style, None)]))]):
        moved = [(None if m is None else m.roll((16, 24), (2, 3)), palette) for m, palette in areas]
        result = move_to_palette(store, image.roll((16, 24), (2, 3)), moved, 1.0, (2, 3))
        expected = move_to_palette(store, image, areas, 1.0, (2, 3)).roll((16, 24), (2, 3))
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


def test_neighbors_go_on_across_edges() -> None:
    """Matches of a rolled picture are the rolled matches."""
    encoder, layers = double(), ["relu1_1", "relu3_1"]
    content, style = random_image(1, 64, 96).double(), random_image(2, 48, 48).double()
    device = torch.device("cpu")

    def cells(image: Tensor, wrap: Dims) -> Cells:
        return Cells(encoder(image, layers, wrap), VGG19, RamStore("cpu"), device, wrap)

    painting = cells(style, ())
    basis = fit_basis([painting])
    described = describe(painting, basis)
    matches = [
        find_matches(describe(cells(image, (2, 3)), basis), [described], [Area(None, ((0, 1.0, None),))])
        for image in (content, roll(content, "both"))
    ]
    same = matches[1] == matches[0].roll((8, 12), (1, 2))
    assert float(same.float().mean()) > 0.99


@pytest.mark.parametrize("tile_px", [None, 48])
def test_neighbor_loss_wraps(tile_px: int | None) -> None:
    config = resolve_config(wrap="both", style_loss="neighbor")
    encoder = double()
    plain, rolled = (
        measure(TiledEngine(encoder, tile_px=tile_px), config, (64, 96), "both", rolled=rolled)
        for rolled in (False, True)
    )
    assert float(rolled.losses.total) == pytest.approx(float(plain.losses.total), rel=1e-3)


def test_tiles_own_every_position_once() -> None:
    tiles = cut_tiles(VGG19, ["relu5_1"], 160, 128, 64, (2,))
    assert len({tile.rows for tile in tiles}) == 3
    assert min(tile.rows.outer_start for tile in tiles) < 0
    counts = torch.zeros(1, 1, 160, 128)
    for tile in tiles:
        counts[:, :, tile.rows.start : tile.rows.stop, tile.columns.start : tile.columns.stop] += 1
    assert bool((counts == 1).all())
    image = random_image(1, 160, 128)
    tile = tiles[0]
    rows = torch.arange(tile.rows.outer_start, tile.rows.outer_stop) % 160
    columns = slice(tile.columns.outer_start, tile.columns.outer_stop)
    assert torch.equal(tile.crop(image), image[:, :, rows, columns])
    added = torch.zeros_like(image)
    tile.add(tile.crop(image), into=added)
    assert torch.equal(added, torch.zeros_like(image).index_add_(2, rows, _widen(tile.crop(image), columns, 128)))


def _widen(part: Tensor, columns: slice, width: int) -> Tensor:
    wide = part.new_zeros((*part.shape[:3], width))
    wide[..., columns] = part
    return wide


def test_sides_are_rounded_to_what_the_network_divides() -> None:
    config = resolve_config(wrap="x")
    assert config.side_multiples == (1, 16)
    assert fit_sides(333, 500, config.side_multiples) == (333, 512)
    assert resolve_config(wrap="both", style_layers="relu1_1", content_layers="relu1_1").side_multiples == (4, 4)
    assert resolve_config().side_multiples == (1, 1)
    scales = plan_scales(336, 512, iterations=9, scales=3, minimum_px=16, multiples=(16, 16))
    assert [(scale.height, scale.width) for scale in scales] == [(80, 128), (160, 256), (336, 512)]


def test_networks_that_skip_pixels_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"wrap = 'x' does not work with alexnet, .* Use vgg19 or vgg16"):
        Config(network="alexnet", wrap="x")


def test_memory_counts_margins_that_go_around() -> None:
    work = Workload(160, 160, ((64, 64),), resolve_config())
    wrapped = Workload(160, 160, ((64, 64),), resolve_config(wrap="both"))
    needs = [memory_needs(each, 128, None, 20, False, "float32", None).memory_bytes for each in (work, wrapped)]
    assert needs[1] > needs[0]


# ---- Runs ----------------------------------------------------------------------------------------

LAYERS: dict[str, Any] = {"content_layers": "relu2_1", "style_layers": "relu1_1,relu2_1", "iterations": 4}


def paint(encoder: Encoder, size: tuple[int, int] = (41, 57), *, inputs: Any = None, **options: Any) -> Result:
    given = {"content": picture(1, *size), "styles": (picture(2),)} | (inputs or {})
    return drive(build_run(encoder, Config(**LAYERS | options), **given))


@pytest.mark.parametrize(
    "options",
    [
        {"wrap": "both"},
        {"wrap": "x", "scales": 2},
        {"wrap": "y", "init": "style"},
        {"wrap": "both", "init": "recolored", "scales": 2},
        {"wrap": "both", "color": "luminance", "content_seam": "blend"},
        {"wrap": "both", "style_loss": "neighbor", "optimizer": "adam"},
        {"wrap": "both", "style_loss": "sliced-wasserstein", "parametrization": "pixels"},
    ],
    ids=str,
)
def test_pictures_of_any_size_have_edges_that_meet(tiny: Encoder, options: dict[str, Any]) -> None:
    result = paint(tiny, **options)
    assert result.image.shape == (1, 3, 41, 57)
    assert result.recipe.config.wrap == options["wrap"]


def test_protected_pixels_stay_to_the_bit(tiny: Encoder) -> None:
    mask = torch.zeros(1, 1, 41, 57)
    mask[:, :, 10:20, 5:30] = 1
    content = picture(1, 41, 57)
    result = paint(tiny, inputs={"content": content, "protect": mask}, wrap="both")
    assert torch.equal(result.image[:, :, 10:20, 5:30], content[:, :, 10:20, 5:30])
    assert not torch.equal(result.image, content)


def test_runs_resume_to_the_bit(tiny: Encoder, tmp_path: Path) -> None:
    config = Config(**LAYERS, wrap="both", scales=2)
    inputs: Any = {"content": picture(1, 41, 57)}
    whole = drive(build_run(tiny, config, **inputs))
    stopped = build_run(tiny, config, **inputs)
    for progress in stopped.steps():
        if (progress.scale, progress.iteration) == (2, 2):
            break
    stopped.save_checkpoint(tmp_path / "run.checkpoint")
    again = build_run(tiny, config, **inputs)
    for _ in again.steps(read_checkpoint(tmp_path / "run.checkpoint")):
        pass
    assert torch.equal(again.result().image, whole.image)


def test_blending_removes_the_jump_and_keeps_detail() -> None:
    ramp = torch.linspace(0.1, 0.8, 64).expand(1, 3, 48, 64) + 0.1 * random_image(1, 48, 64)
    store = RamStore("cpu")
    for wrap, dims in (("x", (3,)), ("both", (2, 3))):
        closed = close_seam(ramp, dims, store)
        assert seam(ramp, (3,)) > 10, wrap
        assert seam(closed, dims) < 1.5, wrap
        inside = closed[:, :, 8:-8, 8:-8].diff(dim=3) - ramp[:, :, 8:-8, 8:-8].diff(dim=3)
        assert float(inside.abs().max()) < 0.05, wrap
        torch.testing.assert_close(close_seam(closed, dims, store), closed, rtol=0, atol=0.02)
    tall = close_seam(ramp.transpose(2, 3), (2,), store).transpose(2, 3)
    torch.testing.assert_close(tall, close_seam(ramp, (3,), store), rtol=1e-4, atol=1e-5)


def test_blending_needs_edges_that_meet() -> None:
    with pytest.raises(ConfigError, match="content_seam = 'blend' needs edges that meet: give `wrap` too"):
        resolve_config(content_seam="blend")


@pytest.mark.weights
@pytest.mark.parametrize("options", [{"content_weight": 0.0}, {"content_seam": "blend"}], ids=str)
def test_painted_pictures_have_no_seam(photo: Path, painting: Path, options: dict[str, Any]) -> None:
    """An odd size is painted a little larger, and resampled without a seam."""
    seamless = impasto.stylize(photo, painting, size=101, iterations=30, wrap="both", **options).image
    plain = impasto.stylize(photo, painting, size=101, iterations=30).image
    assert seamless.shape[2:] == (67, 101)
    assert seam(seamless, (2, 3)) < 1.3 < 2 < seam(plain, (2, 3))


def test_seam_is_measured_across_the_edges_that_meet() -> None:
    waves = torch.sin(torch.arange(64) * torch.pi / 8).expand(1, 3, 48, 64) * 0.4 + 0.5
    assert seam(waves, (3,)) == pytest.approx(2**0.5, rel=0.02)  # the edges meet where a wave is steepest
    assert seam(waves[..., :60], (3,)) > 3
    assert seam(waves[..., :60].transpose(2, 3), (2, 3)) > 3
    assert seam(waves, ()) == 0
    assert seam(torch.zeros(1, 3, 16, 16), (2, 3)) == 1


def test_edges_of_the_style_do_not_count_where_the_target_has_none() -> None:
    """Padding changes what a style is like at its edges, and the target has no such places."""
    content, style = random_image(1, 32, 32), random_image(2, 32, 48)
    assert inside(torch.zeros(1, 64, 12), (2, 3)).shape == (1, 56, 6)  # 4 positions, and at most a quarter
    assert inside(torch.zeros(1, 3, 64), (2, 3)).shape == (1, 3, 56)

    def values(padding: Padding, wrap: Wrap, style_loss: str, layers: str = "relu1_1") -> Tensor:
        encoder = Encoder(VGG19, random_weights(VGG19), padding=padding)
        config = resolve_config(wrap=wrap, style_layers=layers, content_layers="relu1_1", style_loss=style_loss)
        return plain_objective(encoder, content, style, config).style[0].regions[0].value

    for style_loss in ("gram", "sliced-wasserstein"):
        paddings: list[Padding] = ["zero", "replicate"]
        wrapped = [values(padding, "both", style_loss) for padding in paddings]
        plain = [values(padding, "none", style_loss) for padding in paddings]
        torch.testing.assert_close(*wrapped)
        assert relative_error(*plain) > 1e-3
        one_way = [values(padding, "x", style_loss) for padding in paddings]
        assert relative_error(*one_way) > 1e-3
