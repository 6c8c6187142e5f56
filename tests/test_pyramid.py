"""Scales from coarse to fine."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.config.schedule import default_scales
from impasto.core.pyramid import Scale, plan_scales
from impasto.errors import ConfigError

SIDES = st.integers(16, 5000)


def default_plan(height: int, width: int, iterations: int, minimum_px: int = 1) -> tuple[Scale, ...]:
    scales = default_scales(height, width, minimum_px)
    return plan_scales(height, width, iterations=iterations, scales=scales, minimum_px=minimum_px)


@given(height=SIDES, width=SIDES, iterations=st.integers(1, 1000))
def test_scales_end_at_the_requested_size(height: int, width: int, iterations: int) -> None:
    plan = default_plan(height, width, iterations, minimum_px=16)
    assert (plan[-1].height, plan[-1].width, plan[-1].iterations) == (height, width, iterations)
    for coarse, fine in pairwise(plan):
        assert fine.height // 2 == coarse.height
        assert fine.width // 2 == coarse.width
        assert 1 <= coarse.iterations <= iterations
    assert all(min(scale.height, scale.width) >= 16 for scale in plan)


@given(height=SIDES, width=SIDES, scales=st.integers(1, 9))
def test_number_of_scales_is_kept_or_refused(height: int, width: int, scales: int) -> None:
    try:
        plan = plan_scales(height, width, iterations=50, scales=scales, minimum_px=16)
    except ConfigError:
        assert min(height, width) >> (scales - 1) < 16
    else:
        assert len(plan) == scales


def test_one_scale_is_the_full_size() -> None:
    assert plan_scales(30, 40, iterations=9, scales=1) == (Scale(30, 40, 9),)


def test_too_many_scales_error_says_how_many_fit() -> None:
    with pytest.raises(ConfigError, match="At most 3 do; auto chooses"):
        plan_scales(64, 64, iterations=9, scales=4, minimum_px=16)


def test_narrow_images_have_no_scale_below_the_minimum() -> None:
    assert default_plan(20, 4000, 5, minimum_px=16) == (Scale(20, 4000, 5),)


def test_first_and_last_scale_get_most_steps() -> None:
    plan = default_plan(768, 1024, 45, minimum_px=16)
    assert [(scale.width, scale.iterations) for scale in plan] == [(128, 45), (256, 20), (512, 40), (1024, 45)]
    assert [scale.iterations for scale in default_plan(300, 400, 200)] == [60, 20, 200]
