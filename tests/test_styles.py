"""Several styles: blended moments, sizes, shares and options."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from builders.objectives import tiny_config
from builders.runs import build_run, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import impasto
from impasto.config import Config, Inputs, RunOptions
from impasto.config.types import Length
from impasto.core.encoder import Encoder
from impasto.core.evaluate import AutogradEngine
from impasto.core.method import objective_at, stylize_steps
from impasto.core.objective import Objective
from impasto.core.statistics import Moments, blend_moments, compute_moments
from impasto.core.targets import build_objective
from impasto.engine.tiled import TiledEngine
from impasto.errors import ConfigError
from impasto.run import drive
from impasto.run.loading import load_inputs


def features(seed: int, positions: int = 40) -> Tensor:
    return torch.randn(1, 3, positions // 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_blend_by_hand() -> None:
    one = compute_moments(torch.tensor([[[[1.0, 3.0]]]]))  # mean 2, second moment 5
    two = compute_moments(torch.tensor([[[[0.0, 0.0, 6.0]]]]))  # mean 2, second moment 12
    result = blend_moments([(0.75, one), (0.25, two)])
    assert result.sum.item() / result.count == 2
    assert result.outer.item() / result.count == 0.75 * 5 + 0.25 * 12


def test_area_weighted_blend_equals_images_side_by_side() -> None:
    a, b = features(1, 24), features(2, 40)
    both = compute_moments(torch.cat([a.flatten(2), b.flatten(2)], dim=2).unsqueeze(2))
    result = blend_moments([(24 / 64, compute_moments(a)), (40 / 64, compute_moments(b))])
    torch.testing.assert_close(result.sum, both.sum / both.count)
    torch.testing.assert_close(result.outer, both.outer / both.count)


def objective(encoder: Encoder, shares: tuple[float, float]) -> Objective:
    styles = list(zip(shares, (picture(2), picture(3)), strict=True))
    return build_objective(
        AutogradEngine(encoder), picture(1), styles, tiny_config(units="absolute", style_loss="gram")
    )


@settings(deadline=None)  # slow on a busy machine
@given(share=st.floats(0, 1))
def test_blend_interpolates_targets_linearly(tiny: Encoder, share: float) -> None:
    first, second = objective(tiny, (1, 0)), objective(tiny, (0, 1))
    for a, b, blended in zip(first.style, second.style, objective(tiny, (share, 1 - share)).style, strict=True):
        (one,), (two,), (blend,) = a.regions, b.regions, blended.regions
        torch.testing.assert_close(blend.value, share * one.value + (1 - share) * two.value, rtol=1e-5, atol=1e-6)


class RecordingEngine(AutogradEngine):
    """An engine that records the sizes of the styles that it measures."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.sizes: list[tuple[int, ...]] = []

    def moments(self, image: Tensor, *rest: Any) -> dict[str, tuple[Moments, ...]]:
        self.sizes.append(tuple(image.shape[2:]))
        return super().moments(image, *rest)


def test_each_style_has_its_own_size(tiny: Encoder) -> None:
    inputs = Inputs(content=picture(1), styles=(picture(2, 80, 112), picture(3, 80, 112), picture(4, 80, 112)))
    config = tiny_config(styles=3, scales=2, style_scale="0.5,1,14px")
    engine = AutogradEngine(tiny)
    run_inputs = load_inputs(inputs, config, RunOptions(), engine)
    assert [style.picture.pixels.shape[3] for style in run_inputs.styles] == [28, 56, 14]
    # A size in pixels applies at full size and is halved at half size.
    recorder = RecordingEngine(tiny)
    for scale in run_inputs.scales:
        objective_at(run_inputs, scale, config, recorder)
    assert recorder.sizes == [(10, 14), (20, 28), (5, 7), (20, 28), (40, 56), (10, 14)]


def test_descent_uses_styles_and_shares(tiny: Encoder) -> None:
    """A style with all of the share paints like that style alone, in any position."""
    engine = AutogradEngine(tiny)

    def paint(styles: tuple[Tensor, ...], weights: str = "auto") -> Tensor:
        config = tiny_config(styles=len(styles), iterations=4, scales=1, style_weights=weights)
        run_inputs = load_inputs(Inputs(content=picture(1), styles=styles), config, RunOptions(), engine)
        *_, last = (progress.image.clone() for progress in stylize_steps(run_inputs, config, engine=engine))
        return last

    single = paint((picture(2),))
    torch.testing.assert_close(paint((picture(2), picture(3)), "5,0"), single, rtol=0, atol=1e-5)
    torch.testing.assert_close(paint((picture(3), picture(2)), "0,0.1"), single, rtol=0, atol=1e-5)
    half = paint((picture(2), picture(3)))
    assert (half - single).abs().mean() > 1e-3
    torch.testing.assert_close(paint((picture(2), picture(3)), "7,7"), half, rtol=0, atol=1e-6)


def test_blend_moves_the_picture_between_styles(tiny: Encoder) -> None:
    """Five shares move the mean color monotonically, without jumps."""
    engine, colors = AutogradEngine(tiny), []
    for share in (4, 3, 2, 1, 0):
        config = tiny_config(iterations=15, scales=1, alpha=100, style_weights=f"{share},{4 - share}")
        run_inputs = load_inputs(
            Inputs(content=picture(1), styles=(picture(2), picture(3))), config, RunOptions(), engine
        )
        *_, last = (progress.image.clone() for progress in stylize_steps(run_inputs, config, engine=engine))
        colors.append(last.mean(dim=(2, 3)).flatten())
    whole = colors[-1] - colors[0]
    positions = [float((color - colors[0]) @ whole / (whole @ whole)) for color in colors]
    assert positions == sorted(positions)
    assert max(after - before for before, after in itertools.pairwise(positions)) < 0.5


def test_tiled_blend_matches_untiled(tiny: Encoder) -> None:
    styles = [(0.3, picture(2, 64, 72)), (0.7, picture(3, 48, 64))]
    config = tiny_config(units="absolute")
    whole = build_objective(AutogradEngine(tiny), picture(1), styles, config)
    tiled = build_objective(TiledEngine(tiny, tile_px=16), picture(1), styles, config)
    for a, b in zip((x.regions[0] for x in whole.style), (x.regions[0] for x in tiled.style), strict=True):
        torch.testing.assert_close(a.value, b.value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style_weights": "1"}, "style_weights has 1 value for 2 styles"),
        ({"style_weights": "1,2,3"}, "style_weights has 3 values for 2 styles"),
        ({"style_scale": "1,2,3"}, "style_scale has 3 values for 2 styles"),
    ],
)
def test_style_options_need_one_value_per_style(tiny: Encoder, options: dict[str, str], message: str) -> None:
    inputs = Inputs(content=picture(1), styles=(picture(2), picture(3)))
    with pytest.raises(ConfigError, match=message):
        load_inputs(inputs, tiny_config(styles=2, **options), RunOptions(), AutogradEngine(tiny))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style_weights": "-1,2"}, "0 or more"),
        ({"style_weights": "0,0"}, "every share is 0"),
        ({"style_weights": "nan"}, "finite"),
        ({"style_weights": "one"}, "no list of numbers"),
        ({"style_scale": ""}, "empty"),
        ({"style_scale": "0"}, "more than 0"),
        ({"style_scale": "-3px"}, "more than 0"),
        ({"style_scale": "wide"}, "no size"),
        ({"style_scale": "infpx"}, "finite"),
    ],
)
def test_invalid_shares_and_sizes_are_one_line_errors(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Config(**options)
    assert "\n" not in str(caught.value)


def test_shares_and_sizes_round_trip_through_text() -> None:
    config = Config(style_weights=(2, 1), style_scale=(0.5, "300px"))
    assert config.style_scale == (Length(0.5), Length(300, in_px=True))
    assert Config(**config.model_dump()) == config
    assert config.model_dump()["style_scale"] == "0.5,300px"
    assert Config(style_scale=0.5).style_scale == (Length(0.5),)
    exact = Config(style_weights=(1 / 3, 2 / 3), style_scale=(1 / 7, f"{1e3 / 3!r}px"))
    assert Config(**exact.model_dump()) == exact


def test_refuses_a_run_without_styles(photo: Path) -> None:
    with pytest.raises(ConfigError, match="styles"):
        impasto.stylize(photo, [])


def test_recipe_names_every_style(tiny: Encoder) -> None:
    run = build_run(tiny, tiny_config(styles=2, iterations=1, scales=1), styles=(picture(2), picture(3)))
    records = drive(run).recipe.inputs
    assert list(records) == ["content", "style", "style_2"]
    assert records["style"].sha256 != records["style_2"].sha256
