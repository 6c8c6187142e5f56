"""Evaluation by autograd: image -> losses and gradient. Every faster engine is tested against this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from impasto.config.wrap import Dims
from impasto.core.encoder import Encoder, Features
from impasto.core.objective import Losses, Objective
from impasto.core.statistics import Moments, compute_moments_by_region
from impasto.core.tensor_store import RamStore, TensorStore

__all__ = ["AutogradEngine", "Engine", "Evaluation", "Evaluator"]


@dataclass(frozen=True)
class Evaluation:
    """Losses of an image, and d(total)/d(image), (1, 3, H, W), which the receiver may change."""

    losses: Losses
    gradient: Tensor


Evaluator = Callable[[Tensor], Evaluation]


class Engine(Protocol):
    """The way images are measured. All engines give the same results; they differ in time and memory."""

    encoder: Encoder
    store: TensorStore

    def features(self, image: Tensor, layers: Iterable[str], wrap: Dims = ()) -> Features:
        """Compute features of an image (1, 3, H, W) at `layers`; its edges meet along the dimensions `wrap`."""

    def moments(
        self, image: Tensor, layers: Iterable[str], masks: dict[str, Tensor] | None = None
    ) -> dict[str, tuple[Moments, ...]]:
        """Compute moments of its features at `layers`: of each region of `masks` (R, h, w), or of the whole."""

    def measure(self, objective: Objective, image: Tensor, alpha: float) -> Losses:
        """Compute losses without a gradient, for the report on a finished picture."""

    def evaluator(self, objective: Objective, alpha: float) -> Evaluator:
        """Return the function that descent calls."""

    def precise_evaluator(self, objective: Objective, alpha: float) -> Evaluator | None:
        """Return a more precise function for the last steps, if there is one."""


class AutogradEngine:
    """An engine that measures the whole image at once, with the chain rule by autograd."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.store: TensorStore = RamStore(encoder.device)

    @torch.no_grad()
    def features(self, image: Tensor, layers: Iterable[str], wrap: Dims = ()) -> Features:
        """Compute features of an image."""
        return self.encoder(image, layers, wrap)

    @torch.no_grad()
    def moments(
        self, image: Tensor, layers: Iterable[str], masks: dict[str, Tensor] | None = None
    ) -> dict[str, tuple[Moments, ...]]:
        """Compute moments of its features."""
        features = self.encoder(image, layers)
        return {layer: compute_moments_by_region(f, (masks or {}).get(layer)) for layer, f in features.items()}

    @torch.no_grad()
    def measure(self, objective: Objective, image: Tensor, alpha: float) -> Losses:
        """Compute losses without a gradient."""
        return objective.losses(image, self.encoder(image, objective.layers, objective.wrap), alpha)

    def evaluator(self, objective: Objective, alpha: float) -> Evaluator:
        """Return losses and gradient of the whole image."""

        def evaluate(image: Tensor) -> Evaluation:
            pixels = image.detach().requires_grad_()
            with torch.enable_grad():
                features = self.encoder(pixels, objective.layers, objective.wrap)
                losses = objective.losses(pixels, features, alpha)
                (gradient,) = torch.autograd.grad(losses.total, pixels)
            return Evaluation(losses.copy(), gradient)

        return evaluate

    def precise_evaluator(self, objective: Objective, alpha: float) -> Evaluator | None:
        """Return None: every evaluation is precise."""
        return None
