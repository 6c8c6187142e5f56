"""Descent on surfaces with a known minimum."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from builders.objectives import resolve_config
from torch import Tensor

from impasto.core import curvature
from impasto.core.evaluate import Evaluation, Evaluator
from impasto.core.objective import Losses
from impasto.core.optimize import descend
from impasto.core.preconditioner import fourier_filter
from impasto.errors import DivergenceError

START = torch.full((1, 3, 16, 20), 0.5)
GOAL = torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(0))


def losses_of(total: Tensor) -> Losses:
    zero = torch.zeros(())
    return Losses(total, total, zero, zero, zero, {}, {})


def evaluation(total: Tensor, gradient: Tensor) -> Evaluation:
    return Evaluation(losses_of(total), gradient)


def bowl(curvature: Tensor) -> Evaluator:
    """Return mean(curvature · (x − GOAL)²); uneven curvature conditions it badly."""

    def evaluate(image: Tensor) -> Evaluation:
        error = image - GOAL
        return evaluation((curvature * error.square()).mean(), 2 * curvature * error / error.numel())

    return evaluate


UNEVEN = torch.logspace(-2, 1, GOAL.numel()).reshape(GOAL.shape)


@pytest.mark.parametrize("parametrization", ["pixels", "fourier"])
@pytest.mark.parametrize(("optimizer", "rate", "steps"), [("lbfgs", 1.0, 60), ("adam", 0.05, 300)])
def test_solvers_minimize_a_quadratic(optimizer: str, rate: float, steps: int, parametrization: str) -> None:
    config = resolve_config(optimizer=optimizer, parametrization=parametrization, learning_rate=rate)
    *_, (_, last) = descend(bowl(torch.ones_like(GOAL)), START, config, steps)
    assert (last.image - GOAL).abs().max() < 0.02


def test_lbfgs_uses_curvature(monkeypatch: pytest.MonkeyPatch) -> None:
    final = {}
    for cosine in (curvature.MIN_CURVATURE, 2.0):  # no cosine is above 2: steepest descent
        monkeypatch.setattr(curvature, "MIN_CURVATURE", cosine)
        *_, (_, last) = descend(bowl(UNEVEN), START, resolve_config(parametrization="pixels", clamp=False), 60)
        final[cosine] = float(last.losses.total)
    learned, steepest = final.values()
    assert learned < 0.05 * steepest


@pytest.mark.parametrize("clamp", [False, True])
@pytest.mark.parametrize("units", [1e-8, 1e10])
def test_descent_ignores_the_scale_of_the_loss(units: float, clamp: bool) -> None:
    """Losses vary by many orders of magnitude, so no absolute threshold may matter."""
    config = resolve_config(clamp=clamp, units="absolute")

    def scaled(image: Tensor) -> Evaluation:
        plain = bowl(UNEVEN)(image)
        return evaluation(plain.losses.total * units, plain.gradient * units)

    *_, (expected_state, expected) = descend(bowl(UNEVEN), START, config, 30)
    *_, (state, result) = descend(scaled, START, config, 30)
    assert float(result.losses.total) == pytest.approx(units * float(expected.losses.total), rel=0.02)
    assert state.evaluations == expected_state.evaluations


def test_lbfgs_never_increases_the_loss() -> None:
    totals = [float(point.losses.total) for _, point in descend(bowl(UNEVEN), START, resolve_config(clamp=False), 40)]
    assert totals == sorted(totals, reverse=True)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_start_is_unchanged_and_steps_are_counted(optimizer: str) -> None:
    start = START.clone()
    states = [state for state, _ in descend(bowl(UNEVEN), start, resolve_config(optimizer=optimizer), 7)]
    assert torch.equal(start, START)
    assert [state.iteration for state in states] == list(range(1, 8))
    assert states[-1].evaluations >= 8


def cliff(limit: float) -> Evaluator:
    """Build a bowl that is NaN once a pixel exceeds `limit`."""
    inner = bowl(torch.ones_like(GOAL))

    def evaluate(image: Tensor) -> Evaluation:
        if float(image.max()) > limit:
            return evaluation(torch.tensor(math.nan), torch.full_like(image, math.nan))
        return inner(image)

    return evaluate


@pytest.mark.parametrize("options", [{"optimizer": "lbfgs"}, {"optimizer": "adam", "learning_rate": 10.0}])
def test_nan_is_rolled_back(options: dict[str, Any]) -> None:
    config = resolve_config(clamp=False, parametrization="pixels", **options)
    points = [point for _, point in descend(cliff(0.9), START, config, 40)]
    first = float(cliff(0.9)(START).losses.total)
    for point in points:
        assert torch.isfinite(point.image).all()
        assert float(point.losses.total) <= first
    assert float(points[-1].losses.total) < 0.7 * first


def test_diverging_adam_restarts_with_smaller_steps() -> None:
    config = resolve_config(optimizer="adam", parametrization="pixels", learning_rate=50.0, clamp=False)
    *_, (state, last) = descend(bowl(torch.ones_like(GOAL)), START, config, 60)
    assert state.restarts > 0
    assert float(last.losses.total) <= float(bowl(torch.ones_like(GOAL))(START).losses.total)


def test_start_without_a_finite_loss_is_an_error() -> None:
    with pytest.raises(DivergenceError, match="starting image is not finite"):
        next(descend(cliff(0.1), START, resolve_config(), 5))


def test_clamped_descent_measures_the_written_image() -> None:
    """The goal lies outside [0, 1], and losses are measured on the clamped image."""
    far = bowl(torch.ones_like(GOAL))
    seen = []

    def evaluate(image: Tensor) -> Evaluation:
        seen.append((float(image.min()), float(image.max())))
        return far(image * 0.5)  # its minimum is at 2 · GOAL, beyond 1

    *_, (_, last) = descend(evaluate, START, resolve_config(clamp=True), 30)
    assert min(low for low, _ in seen) >= 0
    assert max(high for _, high in seen) <= 1
    clamped = evaluate(last.image.clamp(0, 1)).losses.total
    torch.testing.assert_close(clamped, last.losses.total)
    *_, (_, free) = descend(evaluate, START, resolve_config(clamp=False), 30)
    assert free.image.max() > 1.5


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("size", [(16, 20), (17, 21), (1, 9), (32, 1)])
def test_fourier_filter_is_symmetric(size: tuple[int, int], power: float) -> None:
    """Symmetry gives d/dz = A d/d(image)."""
    generator = torch.Generator().manual_seed(1)
    like = torch.zeros(1, 3, *size, dtype=torch.float64)
    smooth = fourier_filter(like, power)
    a, b = (torch.randn(like.shape, generator=generator, dtype=torch.float64) for _ in range(2))
    torch.testing.assert_close((smooth(a) * b).sum(), (a * smooth(b)).sum())


def impulse_at(row: int, column: int, side: int) -> Tensor:
    impulse = torch.zeros(1, 1, side, side)
    impulse[..., row, column] = 1
    return impulse


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_fourier_filter_has_unit_gain(power: float) -> None:
    """The mean square over frequencies is 1, so white noise keeps its power far from the edges."""
    impulse = impulse_at(65, 64, 129)
    assert float(fourier_filter(impulse, power)(impulse).square().sum()) == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_opposite_edges_do_not_interact(power: float) -> None:
    smooth = fourier_filter(torch.zeros(1, 1, 64, 64), power)
    spread = smooth(impulse_at(0, 30, 64))[0, 0, :, 30].abs()
    assert spread[-1] < 0.01 * spread[1]
    across = smooth(impulse_at(30, 63, 64))[0, 0, 30].abs()
    assert across[0] < 0.01 * across[-2]


def test_fourier_filter_follows_its_exponent() -> None:
    like = torch.zeros(1, 1, 128, 128)
    across = torch.arange(128) / 128 * 2 * math.pi
    slow, fast = torch.cos(4 * across).expand(like.shape), torch.cos(48 * across).expand(like.shape)

    def favor(power: float) -> float:
        smooth = fourier_filter(like, power)
        slower, faster = (smooth(wave)[..., 32:96, 32:96].square().mean().sqrt() for wave in (slow, fast))
        return float(slower / faster)

    assert favor(1) == pytest.approx((48 / 128 + 0.1) / (4 / 128 + 0.1), rel=0.1)
    assert favor(2) == pytest.approx(favor(1) ** 2, rel=0.1)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_last_steps_use_the_precise_evaluator(optimizer: str) -> None:
    coarse_calls: list[int] = []
    fine_calls: list[int] = []
    exact = bowl(UNEVEN)

    def coarse(image: Tensor) -> Evaluation:
        coarse_calls.append(len(fine_calls))
        return exact(image * 1.01)  # a systematic error

    def fine(image: Tensor) -> Evaluation:
        fine_calls.append(len(coarse_calls))
        return exact(image)

    config = resolve_config(optimizer=optimizer, parametrization="pixels", clamp=False)
    *_, (state, last) = descend(coarse, START, config, 50, precise=fine)
    assert set(coarse_calls) == {0}, "the coarse evaluator is not used again"
    assert 5 <= len(fine_calls) <= 15
    torch.testing.assert_close(last.losses.total, exact(last.image).losses.total)
    assert state.iteration == 50


def test_converged_run_stops_evaluating() -> None:
    config = resolve_config(parametrization="pixels", clamp=False)
    steps = list(descend(bowl(torch.ones_like(GOAL)), GOAL, config, 200))
    assert len(steps) == 200
    state, last = steps[-1]
    assert state.evaluations < 30
    torch.testing.assert_close(last.image, GOAL)


def test_stalled_run_stops_evaluating() -> None:
    """With a negated gradient every step fails, with and without curvature memory."""
    inner = bowl(torch.ones_like(GOAL))

    def negated(image: Tensor) -> Evaluation:
        true = inner(image)
        return evaluation(true.losses.total, -true.gradient)

    config = resolve_config(parametrization="pixels", clamp=False)
    *_, (state, last) = descend(negated, START, config, 100)
    assert state.evaluations < 20
    torch.testing.assert_close(last.image, START)
