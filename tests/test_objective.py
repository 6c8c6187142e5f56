"""The objective: Total = content_weight · Content + α · Style + tv_weight · TV, in both units."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from builders.objectives import evaluate_plain, measure_losses, plain_objective, resolve_config, tiny_config
from builders.pixels import random_image
from torch import Tensor

from impasto.config.networks import VGG19
from impasto.config.types import LayerWeight
from impasto.core.encoder import Encoder
from impasto.core.evaluate import AutogradEngine
from impasto.core.losses import laplacian, pool_image
from impasto.core.objective import Objective


def test_absolute_units_give_the_published_losses(tiny: Encoder) -> None:
    config = tiny_config(style_loss="gram", units="absolute", alpha=0.7, tv_weight=0.3, content_weight=2.0)
    content, style, target = random_image(1), random_image(2, 20, 20), random_image(3)
    losses = measure_losses(tiny, plain_objective(tiny, content, style, config), target)

    def gram(x: Tensor) -> Tensor:
        flat = x[0].flatten(1)
        return flat @ flat.T / flat.shape[1]

    names = ["relu1_1", "relu2_1"]
    fc, fs, ft = tiny(content, names), tiny(style, names), tiny(target, names)
    expected_content = ((ft["relu2_1"] - fc["relu2_1"]) ** 2).mean()
    expected_style = sum(((gram(ft[n]) - gram(fs[n])) ** 2).mean() for n in names)
    tv = ((target[..., 1:] - target[..., :-1]) ** 2).sum() + ((target[..., 1:, :] - target[..., :-1, :]) ** 2).sum()
    torch.testing.assert_close(losses.content, expected_content)
    torch.testing.assert_close(losses.style, expected_style)
    torch.testing.assert_close(losses.total, 2.0 * expected_content + 0.7 * expected_style + 0.3 * tv)


def test_relative_units_normalize_losses_and_weights(tiny: Encoder) -> None:
    absolute, relative = (
        plain_objective(
            tiny,
            random_image(1),
            random_image(2),
            tiny_config(units=units, style=(LayerWeight("relu1_1", 3.0), LayerWeight("relu2_1", 1.0))),
        )
        for units in ("absolute", "relative")
    )
    target = random_image(3)
    in_absolute, in_relative = measure_losses(tiny, absolute, target), measure_losses(tiny, relative, target)
    for term in absolute.style:
        expected = in_absolute.style_layers[term.layer] / term.regions[0].value.square().mean()
        torch.testing.assert_close(in_relative.style_layers[term.layer], expected)
    layers = in_relative.style_layers
    mean = 0.75 * layers["relu1_1"] + 0.25 * layers["relu2_1"]
    torch.testing.assert_close(in_relative.style, VGG19.dense_strength * mean)
    gram = plain_objective(tiny, random_image(1), random_image(2), tiny_config(style_loss="gram"))
    assert sum(target.weight for target in gram.style) == pytest.approx(1)  # the published layers count once


def test_large_pictures_weigh_style_by_their_size(tiny: Encoder) -> None:
    def strength(height: int, width: int, **options: Any) -> float:
        objective = plain_objective(tiny, random_image(1, height, width), random_image(2), tiny_config(**options))
        return sum(target.weight for target in objective.style)

    assert strength(16, 512) == strength(40, 30) == pytest.approx(VGG19.dense_strength)
    assert strength(16, 768) == strength(768, 16) == pytest.approx(1.5 * VGG19.dense_strength)
    assert strength(16, 2048) == pytest.approx(4 * VGG19.dense_strength)
    assert strength(16, 2048, style_loss="gram") == pytest.approx(1)
    assert strength(16, 2048, units="absolute") == strength(40, 30, units="absolute")


def test_black_style_gives_finite_losses(tiny: Encoder) -> None:
    objective = plain_objective(tiny, torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16), tiny_config())
    assert torch.isfinite(measure_losses(tiny, objective, random_image(3, 16, 16)).total)


def test_losses_are_zero_at_their_own_image(tiny: Encoder) -> None:
    content, style = random_image(1), random_image(2)
    objective = plain_objective(tiny, content, style, tiny_config())
    assert measure_losses(tiny, objective, content).content == 0
    assert measure_losses(tiny, objective, style).style == 0


def test_laplacian_loss_keeps_content_edges(tiny: Encoder) -> None:
    content, target = random_image(1), random_image(3)
    objective = plain_objective(tiny, content, random_image(2), tiny_config(laplacian_weight=0.4))
    plain = measure_losses(tiny, plain_objective(tiny, content, random_image(2), tiny_config()), target)
    result = measure_losses(tiny, objective, target)
    curvature, content_curvature = (laplacian(pool_image(x)) for x in (target, content))
    expected = (curvature - content_curvature).square().mean() / content_curvature.square().mean()
    torch.testing.assert_close(result.laplacian, expected)
    torch.testing.assert_close(result.total, plain.total + 0.4 * expected)
    assert measure_losses(tiny, objective, content).laplacian == 0


def test_targets_are_frozen(tiny: Encoder) -> None:
    objective = plain_objective(tiny, random_image(1), random_image(2), tiny_config())
    values = [target.value for target in objective.content]
    values += [part.value for target in objective.style for part in target.regions]
    assert len(values) == 3
    assert not any(value.requires_grad for value in values)
    with pytest.raises(AttributeError):
        objective.config = resolve_config()  # type: ignore[misc]


def test_objective_passes_gradcheck(tiny64: Encoder) -> None:
    config = tiny_config(tv_weight=0.2, laplacian_weight=0.3, content_loss="scaled")
    objective: Objective = plain_objective(tiny64, random_image(1).double(), random_image(2).double(), config)
    evaluate = AutogradEngine(tiny64).evaluator(objective, objective.config.alpha)
    start = random_image(3).double()
    gradient = evaluate(start).gradient
    direction = torch.randn(start.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    step = 1e-6
    ahead = evaluate(start + step * direction).losses.total
    behind = evaluate(start - step * direction).losses.total
    assert float((ahead - behind) / (2 * step)) == pytest.approx(float((gradient * direction).sum()), rel=1e-6)


def test_evaluation_has_no_side_effects(tiny: Encoder) -> None:
    tensors = [*tiny.kernels.values(), *tiny.biases.values(), random_image(1), random_image(2), random_image(3)]
    before = [tensor.clone() for tensor in tensors]
    content, style, target = tensors[-3:]
    evaluation = evaluate_plain(tiny, plain_objective(tiny, content, style, tiny_config()), target)
    assert evaluation.gradient.abs().max() > 0
    assert all(torch.equal(a, b) for a, b in zip(before, tensors, strict=True))
    assert all(tensor.grad is None and not tensor.requires_grad for tensor in tensors)


def test_total_variation_is_a_mean_in_relative_units(tiny: Encoder) -> None:
    objective = plain_objective(tiny, random_image(1), random_image(2), tiny_config(tv_weight=1.0))
    target = random_image(3)
    expected = (target.diff(dim=3).square().sum() + target.diff(dim=2).square().sum()) / target.numel()
    torch.testing.assert_close(measure_losses(tiny, objective, target).tv, expected)
