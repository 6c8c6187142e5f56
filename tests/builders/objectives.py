"""Resolved configs, and objectives measured with autograd."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor

from impasto.config import Config, ResolvedConfig
from impasto.config.types import LayerWeight
from impasto.core.encoder import Encoder
from impasto.core.evaluate import AutogradEngine, Evaluation
from impasto.core.objective import Losses, Objective
from impasto.core.targets import build_objective


def resolve_config(*, height: int = 64, width: int = 64, styles: int = 1, **options: Any) -> ResolvedConfig:
    """Return the config of these options, resolved for a target of this size."""
    return Config(**options).resolve(height, width, styles=styles)


def tiny_config(*, styles: int = 1, **options: Any) -> ResolvedConfig:
    """Return a config with the tiny network's layers, which no config can name."""
    layers = {
        "content_layers": options.pop("content", (LayerWeight("relu2_1"),)),
        "style_layers": options.pop("style", (LayerWeight("relu1_1"), LayerWeight("relu2_1"))),
    }
    return resolve_config(styles=styles, **options).model_copy(update=layers)


def plain_objective(encoder: Encoder, content: Tensor, style: Tensor, config: Config) -> Objective:
    """Build the objective with the autograd engine, the config resolved for the content."""
    return build_objective(AutogradEngine(encoder), content, [(1.0, style)], config.resolve(*content.shape[2:]))


def evaluate_plain(encoder: Encoder, objective: Objective, image: Tensor) -> Evaluation:
    """Return losses and gradient by autograd."""
    return AutogradEngine(encoder).evaluator(objective, objective.config.alpha)(image)


def measure_losses(encoder: Encoder, objective: Objective, image: Tensor) -> Losses:
    """Return the losses, without the gradient."""
    return AutogradEngine(encoder).measure(objective, image, objective.config.alpha)


def relative_error(result: Tensor, expected: Tensor) -> float:
    """Return the norm of the difference, relative to what was expected."""
    return float((result - expected).norm() / expected.norm())


def assert_same_evaluation(result: Evaluation, expected: Evaluation, tolerance: float) -> None:
    """Compare losses and gradients: type, shape and values."""
    assert result.gradient.dtype == expected.gradient.dtype
    assert result.gradient.shape == expected.gradient.shape
    assert relative_error(result.gradient, expected.gradient) < tolerance
    assert result.losses.as_floats() == pytest.approx(expected.losses.as_floats(), rel=tolerance)
