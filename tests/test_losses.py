"""Losses and statistics: values by hand, invariances, gradients in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from impasto.config import Config
from impasto.config.model import choices_of
from impasto.config.style_losses import STYLE_LOSSES, compares_neighbors
from impasto.core.losses import (
    content_error,
    content_loss,
    energy,
    laplacian,
    pool_image,
    statistic_error,
    total_variation,
)
from impasto.core.statistics import (
    MEAN_WEIGHT,
    Moments,
    centered_matrices,
    compute_moments,
    covariance_matrix,
    gram_matrix,
)
from impasto.core.style_losses import find_style_loss, gaussian, mean_and_std, wasserstein_loss

# Two channels, 1 x 3 positions: vectors (1, 2), (0, 1), (3, -1).
FEATURES = torch.tensor([[[[1.0, 0.0, 3.0]], [[2.0, 1.0, -1.0]]]])


def random_features(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_moments_by_hand() -> None:
    moments = compute_moments(FEATURES)
    assert moments.count == 3
    assert moments.sum.tolist() == [4, 2]
    assert moments.outer.tolist() == [[10, -1], [-1, 6]]


def test_gram_matrix_by_hand() -> None:
    expected = torch.tensor([[10, -1], [-1, 6]]) / 3
    torch.testing.assert_close(gram_matrix(compute_moments(FEATURES)), expected)


def test_gram_is_invariant_to_pixel_order() -> None:
    features = random_features(1, 5, 6, 7)
    order = torch.randperm(42, generator=torch.Generator().manual_seed(1))
    shuffled = features.flatten(2)[:, :, order].reshape(1, 5, 6, 7)
    torch.testing.assert_close(gram_matrix(compute_moments(shuffled)), gram_matrix(compute_moments(features)))


def test_gram_is_invariant_to_repetition() -> None:
    features = random_features(1, 5, 6, 7)
    torch.testing.assert_close(
        gram_matrix(compute_moments(features.repeat(1, 1, 2, 3))), gram_matrix(compute_moments(features))
    )


def test_gram_is_symmetric_and_positive() -> None:
    gram = gram_matrix(compute_moments(random_features(1, 8, 5, 5)))
    torch.testing.assert_close(gram, gram.T)
    assert torch.linalg.eigvalsh(gram.double()).min() > -1e-6


@given(cut=st.integers(1, 8))
def test_moments_of_parts_add_up(cut: int) -> None:
    features = random_features(1, 4, 9, 6, dtype=torch.float64)
    parts: Moments = compute_moments(features[:, :, :cut]) + compute_moments(features[:, :, cut:])
    whole = compute_moments(features)
    assert parts.count == whole.count == 54
    torch.testing.assert_close(parts.sum, whole.sum)
    torch.testing.assert_close(parts.outer, whole.outer)


def test_moments_of_bfloat16_are_accumulated_in_float32() -> None:
    features = torch.ones(1, 2, 100, 100, dtype=torch.bfloat16)
    moments = compute_moments(features)  # bfloat16 cannot count beyond 256
    assert moments.outer.dtype == torch.float32
    assert moments.outer[0, 1] == 10_000


def test_content_loss_by_hand() -> None:
    target = torch.tensor([[[[0.0, 0.0, 0.0]], [[2.0, 2.0, 2.0]]]])
    # differences 1, 0, 3 and 0, -1, -3: squares sum to 20 over 6 values
    error = content_error(FEATURES, target)
    assert error.tolist() == pytest.approx([20 / 6, 8 / 6])
    assert content_loss(error) == pytest.approx(20 / 6)
    assert content_loss(error, scale=2.0) == pytest.approx(10 / 6)
    # As in style-transfer-pytorch, divide by the absolute error: sum of squares / sum of absolute values.
    assert content_loss(error, "scaled") == pytest.approx(20 / 8)


def test_style_loss_by_hand() -> None:
    gram, target = torch.tensor([[1.0, 2.0], [2.0, 5.0]]), torch.tensor([[0.0, 2.0], [2.0, 3.0]])
    assert statistic_error(gram, target) == pytest.approx(5 / 4)


def test_relative_losses_ignore_feature_scale() -> None:
    features, target = random_features(1, 4, 5, 5), random_features(1, 4, 5, 5, seed=1)
    for norm in ("squared", "scaled"):
        once = content_loss(content_error(features, target), norm, scale=energy([target]))
        scaled = content_loss(content_error(features * 7, target * 7), norm, scale=energy([target * 7]))
        torch.testing.assert_close(once, scaled)


def test_energy_is_the_mean_square() -> None:
    assert energy([torch.tensor([3.0]), torch.tensor([4.0])]) == pytest.approx(12.5)


def test_total_variation_by_hand() -> None:
    image = torch.tensor([[0.0, 1.0], [0.5, 0.5]]).expand(1, 3, 2, 2)
    # In each of three channels, across: 1, 0; down: 0.5, 0.5.
    assert total_variation(image) == pytest.approx(3 * (1 + 2 * 0.25))
    assert total_variation(image, "absolute") == pytest.approx(3 * (1 + 2 * 0.5))


def test_total_variation_of_flat_and_single_pixel_images_is_zero() -> None:
    assert total_variation(torch.full((1, 3, 4, 5), 0.3)) == 0
    assert total_variation(torch.rand(1, 3, 1, 1)) == 0


def test_losses_are_zero_at_their_targets() -> None:
    features = random_features(1, 4, 5, 5)
    gram = gram_matrix(compute_moments(features))
    assert content_loss(content_error(features, features)) == 0
    assert content_loss(content_error(features, features), "scaled") == 0
    assert statistic_error(gram, gram) == 0


def test_gradients_pass_gradcheck() -> None:
    features = random_features(1, 3, 4, 5, dtype=torch.float64).requires_grad_()
    target = random_features(1, 3, 4, 5, seed=1, dtype=torch.float64)
    target_gram = gram_matrix(compute_moments(target))
    assert torch.autograd.gradcheck(lambda f: content_loss(content_error(f, target), scale=3.0), features)
    assert torch.autograd.gradcheck(lambda f: content_loss(content_error(f, target), "scaled", scale=3.0), features)
    assert torch.autograd.gradcheck(lambda f: statistic_error(gram_matrix(compute_moments(f)), target_gram), features)
    assert torch.autograd.gradcheck(total_variation, features)
    assert torch.autograd.gradcheck(lambda f: total_variation(f, "absolute"), features)


def test_registry_and_option_have_the_same_names() -> None:
    assert set(STYLE_LOSSES) == set(choices_of(Config.model_fields["style_loss"]))


def test_covariance_by_hand() -> None:
    # Means 4/3 and 2/3; second moments 10/3, -1/3, 2.
    expected = torch.tensor([[10 / 3 - 16 / 9, -1 / 3 - 8 / 9], [-1 / 3 - 8 / 9, 2 - 4 / 9]])
    torch.testing.assert_close(covariance_matrix(compute_moments(FEATURES)), expected)
    torch.testing.assert_close(
        covariance_matrix(compute_moments(FEATURES)), torch.cov(FEATURES.flatten(2)[0], correction=0)
    )


def test_centered_matrices_are_the_gram_matrix_in_two_parts() -> None:
    moments = compute_moments(FEATURES)
    varying, means = centered_matrices(moments)
    torch.testing.assert_close(varying + means / MEAN_WEIGHT, gram_matrix(moments))
    torch.testing.assert_close(varying, covariance_matrix(moments))


def test_centered_matrices_know_the_color_of_a_flat_painting() -> None:
    one, other = (compute_moments(torch.full((1, 4, 5, 5), value)) for value in (0.2, 0.7))
    assert float((centered_matrices(one) - centered_matrices(other)).abs().max()) > 0.1
    assert float((covariance_matrix(one) - covariance_matrix(other)).abs().max()) < 1e-6


def test_mean_and_deviation_by_hand() -> None:
    result = mean_and_std(compute_moments(FEATURES))
    expected = torch.tensor([[4 / 3, 2 / 3], [math.sqrt(14 / 9), math.sqrt(14 / 9)]])
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=0)


def test_wasserstein_of_independent_channels_by_hand() -> None:
    """Without correlation, the distance is the sum of squared differences of means and deviations."""
    ones = torch.tensor([[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]], dtype=torch.float64)

    def features(mean: tuple[float, float], deviation: tuple[float, float]) -> Tensor:
        columns = torch.tensor([mean, deviation], dtype=torch.float64)
        return (columns[0][:, None] + columns[1][:, None] * ones)[None, :, None]

    target = gaussian(compute_moments(features((0.0, 1.0), (1.0, 3.0))))
    result = wasserstein_loss(compute_moments(features((2.0, 1.5), (2.0, 5.0))), target)
    torch.testing.assert_close(result, torch.tensor(4 + 0.25 + 1 + 4, dtype=torch.float64), rtol=1e-3, atol=0)


def test_wasserstein_of_correlated_channels_matches_scipy() -> None:
    one, two = (random_features(1, 5, 9, 9, seed=seed, dtype=torch.float64) for seed in (1, 2))
    two = torch.einsum("ij,bjhw->bihw", random_features(5, 5, seed=3, dtype=torch.float64), two) + 1
    a, b = (torch.cov(features.flatten(2)[0], correction=0) for features in (one, two))
    # tr (A^½ B A^½)^½ is the sum of the roots of the eigenvalues of A·B.
    shared = torch.linalg.eigvals(a @ b).real.sqrt().sum()
    means = [features.flatten(2)[0].mean(1) for features in (one, two)]
    expected = (means[0] - means[1]).square().sum() + a.trace() + b.trace() - 2 * shared
    torch.testing.assert_close(
        wasserstein_loss(compute_moments(one), gaussian(compute_moments(two))), expected, rtol=1e-3, atol=0
    )


def style_input(name: str, features: Tensor) -> Any:
    """Return the input of a style loss: moments or features."""
    return features if STYLE_LOSSES[name].needs_features else compute_moments(features)


def style_target(name: str, *styles: Tensor) -> Tensor:
    return find_style_loss(name).target([(1 / len(styles), style_input(name, style)) for style in styles])


@pytest.mark.parametrize("name", [name for name in STYLE_LOSSES if not compares_neighbors(name)])
class TestEveryStyleLoss:
    """Properties of every registered style loss that ignores positions; the other is in test_neighbors.py."""

    def test_style_loss_is_zero_only_at_its_target(self, name: str) -> None:
        loss = find_style_loss(name)
        style, other = (random_features(1, 6, 8, 8, seed=seed).relu() for seed in (1, 2))
        target = style_target(name, style)
        assert float(loss.distance(style_input(name, style), target)) < 1e-5 * loss.energy(target)
        assert float(loss.distance(style_input(name, other), target)) > 1e-3 * loss.energy(target)

    def test_style_loss_ignores_pixel_order(self, name: str) -> None:
        loss, features = find_style_loss(name), random_features(1, 5, 6, 7, dtype=torch.float64)
        order = torch.randperm(42, generator=torch.Generator().manual_seed(1))
        shuffled = features.flatten(2)[:, :, order].reshape(1, 5, 6, 7)
        target = style_target(name, random_features(1, 5, 4, 4, seed=1, dtype=torch.float64))
        result, expected = (loss.distance(style_input(name, x), target) for x in (shuffled, features))
        torch.testing.assert_close(result, expected)

    def test_style_loss_passes_gradcheck(self, name: str) -> None:
        loss = find_style_loss(name)
        features = random_features(1, 3, 4, 5, dtype=torch.float64).requires_grad_()
        target = style_target(name, random_features(1, 3, 4, 5, seed=1, dtype=torch.float64))
        # The loss treats the mean variance under a root as a constant.
        passed = torch.autograd.gradcheck(
            lambda f: loss.distance(style_input(name, f), target), features, rtol=2e-3, atol=1e-4
        )
        assert passed

    def test_relative_style_loss_ignores_feature_scale(self, name: str) -> None:
        loss, relative = find_style_loss(name), []
        for factor in (1, 50):
            style, features = (factor * random_features(1, 4, 6, 6, seed=seed, dtype=torch.float64) for seed in (1, 2))
            target = style_target(name, style)
            relative.append(float(loss.distance(style_input(name, features), target)) / loss.energy(target))
        assert relative[1] == pytest.approx(relative[0], rel=1e-6)

    def test_blend_lies_between_its_styles(self, name: str) -> None:
        """The blend is nearer to a mixture of both styles than either style."""
        loss = find_style_loss(name)
        dark, bright = random_features(1, 4, 9, 9, seed=1).abs(), 3 + random_features(1, 4, 9, 9, seed=2).abs()
        both = style_input(name, torch.cat([dark, bright], dim=3))
        blend, *single = (
            float(loss.distance(both, style_target(name, *of))) for of in ((dark, bright), (dark,), (bright,))
        )
        assert blend < 0.5 * min(single)

    def test_gradients_are_finite_for_dead_channels(self, name: str) -> None:
        loss = find_style_loss(name)
        style, features = (random_features(1, 8, 1, 3, seed=seed) for seed in (1, 2))
        style[:, 2], features[:, :3] = 0, 0
        features.requires_grad_()
        distance = loss.distance(style_input(name, features), style_target(name, style))
        (gradient,) = torch.autograd.grad(distance, features)
        assert torch.isfinite(gradient).all()

    def test_gradients_are_finite_at_a_single_position(self, name: str) -> None:
        """Deep layers have only one at coarse scales, and nothing varies there."""
        loss = find_style_loss(name)
        style, features = (random_features(1, 8, 1, 1, seed=seed).relu() for seed in (1, 2))
        features.requires_grad_()
        distance = loss.distance(style_input(name, features), style_target(name, style))
        (gradient,) = torch.autograd.grad(distance, features)
        assert torch.isfinite(distance)
        assert torch.isfinite(gradient).all()


def test_sliced_wasserstein_of_a_shift_by_hand() -> None:
    """A shift by d moves all quantiles along orthogonal directions, by |d|² / C in the mean square."""
    style = random_features(1, 3, 5, 5, dtype=torch.float64)
    shift = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    result = find_style_loss("sliced-wasserstein").distance(
        style + shift.view(1, 3, 1, 1), style_target("sliced-wasserstein", style)
    )
    assert float(result) == pytest.approx(float(shift.square().sum()) / 3)


def test_sliced_wasserstein_sees_more_than_moments() -> None:
    """Compare a uniform and a two-valued distribution of equal mean and covariance."""
    uniform = torch.linspace(-1, 1, 400, dtype=torch.float64)
    uniform = uniform / uniform.square().mean().sqrt()
    two_valued = torch.tensor([-1.0, 1.0], dtype=torch.float64).repeat(200)
    (a, b) = (torch.stack([x, torch.ones_like(x)])[None, :, None] for x in (uniform, two_valued))
    assert float(find_style_loss("covariance").distance(compute_moments(a), style_target("covariance", b))) < 1e-20
    assert float(find_style_loss("sliced-wasserstein").distance(a, style_target("sliced-wasserstein", b))) > 0.01


def test_laplacian_by_hand() -> None:
    """One bright 4x4 block gives -4 in its place and 1 on each side."""
    image = torch.zeros(1, 3, 14, 13)  # the remainder beyond 3 by 3 blocks is ignored
    image[:, :, 4:8, 4:8] = 1
    curvature = laplacian(pool_image(image))
    assert curvature.shape == (1, 3, 3, 3)
    assert curvature[0, 1].tolist() == [[0, 1, 0], [1, -4, 1], [0, 1, 0]]
    assert laplacian(pool_image(torch.full((1, 3, 8, 8), 0.7))).abs().max() < 1e-6
