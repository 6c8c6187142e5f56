"""Losses and statistics: values by hand, invariances, gradients in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from impasto.losses import content_loss, energy, style_loss, total_variation
from impasto.statistics import Moments, gram_matrix, moments_of

# Two channels, 1 x 3 positions: vectors (1, 2), (0, 1), (3, -1).
FEATURES = torch.tensor([[[[1.0, 0.0, 3.0]], [[2.0, 1.0, -1.0]]]])


def random_features(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_moments_by_hand() -> None:
    moments = moments_of(FEATURES)
    assert moments.count == 3
    assert moments.sum.tolist() == [4, 2]
    assert moments.outer.tolist() == [[10, -1], [-1, 6]]


def test_gram_matrix_by_hand() -> None:
    expected = torch.tensor([[10, -1], [-1, 6]]) / 3
    torch.testing.assert_close(gram_matrix(moments_of(FEATURES)), expected)


def test_gram_is_invariant_to_pixel_order() -> None:
    features = random_features(1, 5, 6, 7)
    order = torch.randperm(42, generator=torch.Generator().manual_seed(1))
    shuffled = features.flatten(2)[:, :, order].reshape(1, 5, 6, 7)
    torch.testing.assert_close(gram_matrix(moments_of(shuffled)), gram_matrix(moments_of(features)))


def test_gram_is_invariant_to_repetition() -> None:
    features = random_features(1, 5, 6, 7)
    torch.testing.assert_close(gram_matrix(moments_of(features.repeat(1, 1, 2, 3))), gram_matrix(moments_of(features)))


def test_gram_is_symmetric_and_positive() -> None:
    gram = gram_matrix(moments_of(random_features(1, 8, 5, 5)))
    torch.testing.assert_close(gram, gram.T)
    assert torch.linalg.eigvalsh(gram.double()).min() > -1e-6


@given(cut=st.integers(1, 8))
def test_moments_of_parts_add_up_to_those_of_the_whole(cut: int) -> None:
    features = random_features(1, 4, 9, 6, dtype=torch.float64)
    parts: Moments = moments_of(features[:, :, :cut]) + moments_of(features[:, :, cut:])
    whole = moments_of(features)
    assert parts.count == whole.count == 54
    torch.testing.assert_close(parts.sum, whole.sum)
    torch.testing.assert_close(parts.outer, whole.outer)


def test_moments_of_bfloat16_are_accumulated_in_float32() -> None:
    features = torch.ones(1, 2, 100, 100, dtype=torch.bfloat16)
    moments = moments_of(features)  # bfloat16 cannot count beyond 256
    assert moments.outer.dtype == torch.float32
    assert moments.outer[0, 1] == 10_000


def test_content_loss_by_hand() -> None:
    target = torch.tensor([[[[0.0, 0.0, 0.0]], [[2.0, 2.0, 2.0]]]])
    # differences 1, 0, 3 and 0, -1, -3: squares sum to 20 over 6 values
    assert content_loss(FEATURES, target) == pytest.approx(20 / 6)
    assert content_loss(FEATURES, target, scale=2.0) == pytest.approx(10 / 6)


def test_style_loss_by_hand() -> None:
    gram, target = torch.tensor([[1.0, 2.0], [2.0, 5.0]]), torch.tensor([[0.0, 2.0], [2.0, 3.0]])
    assert style_loss(gram, target) == pytest.approx(5 / 4)


def test_relative_losses_do_not_change_when_features_are_scaled() -> None:
    features, target = random_features(1, 4, 5, 5), random_features(1, 4, 5, 5, seed=1)
    once = content_loss(features, target, scale=energy([target]))
    scaled = content_loss(features * 7, target * 7, scale=energy([target * 7]))
    torch.testing.assert_close(once, scaled)


def test_energy_is_the_mean_square_and_never_zero() -> None:
    assert energy([torch.tensor([3.0]), torch.tensor([4.0])]) == pytest.approx(12.5)
    assert energy([torch.zeros(4)]) > 0


def test_total_variation_by_hand() -> None:
    image = torch.tensor([[0.0, 1.0], [0.5, 0.5]]).expand(1, 3, 2, 2)
    # across: 1, 0 -> mean 1/2; down: 0.25, 0.25 -> mean 1/4
    assert total_variation(image) == pytest.approx(0.75)
    # across: 1, 0 -> 1/2; down: 0.5, 0.5 -> 1/2
    assert total_variation(image, "absolute") == pytest.approx(1.0)


def test_total_variation_of_flat_and_single_pixel_images_is_zero() -> None:
    assert total_variation(torch.full((1, 3, 4, 5), 0.3)) == 0
    assert total_variation(torch.rand(1, 3, 1, 1)) == 0


def test_losses_are_zero_at_their_targets() -> None:
    features = random_features(1, 4, 5, 5)
    gram = gram_matrix(moments_of(features))
    assert content_loss(features, features) == 0
    assert style_loss(gram, gram) == 0


def test_gradients_are_right() -> None:
    features = random_features(1, 3, 4, 5, dtype=torch.float64).requires_grad_()
    target = random_features(1, 3, 4, 5, seed=1, dtype=torch.float64)
    target_gram = gram_matrix(moments_of(target))
    assert torch.autograd.gradcheck(lambda f: content_loss(f, target, scale=3.0), features)
    assert torch.autograd.gradcheck(lambda f: style_loss(gram_matrix(moments_of(f)), target_gram, scale=0.5), features)
    assert torch.autograd.gradcheck(total_variation, features)
    assert torch.autograd.gradcheck(lambda f: total_variation(f, "absolute"), features)
