"""Image -> losses and their gradient, plainly, by autograd. Every faster evaluator is tested against it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.encoder import Encoder
from impasto.objective import Losses, Objective

__all__ = ["Evaluation", "Evaluator", "autograd_evaluator", "measure"]


@dataclass(frozen=True)
class Evaluation:
    """Losses of an image, and d(total)/d(image), (1, 3, H, W)."""

    losses: Losses
    gradient: Tensor


Evaluator = Callable[[Tensor], Evaluation]


def autograd_evaluator(encoder: Encoder, objective: Objective) -> Evaluator:
    """An evaluator that takes the whole image at once and lets autograd write the chain rule."""

    def evaluate(image: Tensor) -> Evaluation:
        pixels = image.detach().requires_grad_()
        with torch.enable_grad():
            losses = objective.losses(pixels, encoder(pixels, objective.layers))
            (gradient,) = torch.autograd.grad(losses.total, pixels)
        return Evaluation(losses.detach(), gradient)

    return evaluate


@torch.no_grad()
def measure(encoder: Encoder, objective: Objective, image: Tensor) -> Losses:
    """Losses of an image without a gradient, for the report on a finished picture."""
    return objective.losses(image, encoder(image, objective.layers))
