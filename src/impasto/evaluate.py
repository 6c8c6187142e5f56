"""Image -> losses and their gradient, plainly, by autograd. Every faster engine is tested against this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from impasto.config import Config
from impasto.encoder import Encoder, Features
from impasto.objective import Losses, Objective, make_objective
from impasto.statistics import Moments, blended, moments_of
from impasto.store import Memory, Store

__all__ = ["AutogradEngine", "Engine", "Evaluation", "Evaluator", "objective_for"]


@dataclass(frozen=True)
class Evaluation:
    """Losses of an image, and d(total)/d(image), (1, 3, H, W), which is the receiver's to change."""

    losses: Losses
    gradient: Tensor


Evaluator = Callable[[Tensor], Evaluation]


class Engine(Protocol):
    """How pictures are measured. All engines give the same answers; they differ in time and memory."""

    encoder: Encoder
    store: Store

    def features(self, image: Tensor, layers: Iterable[str]) -> Features:
        """Features of an image (1, 3, H, W) at `layers`."""

    def moments(self, image: Tensor, layers: Iterable[str]) -> dict[str, Moments]:
        """Moments of its features at `layers`."""

    def measure(self, objective: Objective, image: Tensor) -> Losses:
        """Losses without a gradient, for the report on a finished picture."""

    def evaluator(self, objective: Objective) -> Evaluator:
        """What descent asks at every step."""

    def refiner(self, objective: Objective) -> Evaluator | None:
        """A more precise evaluator for the last steps, if there is one."""


def objective_for(engine: Engine, content: Tensor, styles: Sequence[tuple[float, Tensor]], config: Config) -> Objective:
    """Measure the content and each style (share, image) once; sizes may differ. Raises `LayerError`."""
    features = engine.features(content, [name for name, _ in config.content_layers])
    layers = [name for name, _ in config.style_layers]
    seen = [(share, engine.moments(image, layers)) for share, image in styles]
    moments = {layer: blended([(share, found[layer]) for share, found in seen]) for layer in layers}
    return make_objective(features, moments, config, engine.store)


class AutogradEngine:
    """Takes the whole image at once and lets autograd write the chain rule."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.store: Store = Memory(encoder.device)

    @torch.no_grad()
    def features(self, image: Tensor, layers: Iterable[str]) -> Features:
        """Features of an image."""
        return self.encoder(image, layers)

    @torch.no_grad()
    def moments(self, image: Tensor, layers: Iterable[str]) -> dict[str, Moments]:
        """Moments of its features."""
        return {layer: moments_of(features) for layer, features in self.encoder(image, layers).items()}

    @torch.no_grad()
    def measure(self, objective: Objective, image: Tensor) -> Losses:
        """Losses without a gradient."""
        return objective.losses(image, self.encoder(image, objective.layers))

    def evaluator(self, objective: Objective) -> Evaluator:
        """Losses and gradient of the whole image."""

        def evaluate(image: Tensor) -> Evaluation:
            pixels = image.detach().requires_grad_()
            with torch.enable_grad():
                losses = objective.losses(pixels, self.encoder(pixels, objective.layers))
                (gradient,) = torch.autograd.grad(losses.total, pixels)
            return Evaluation(losses.detach(), gradient)

        return evaluate

    def refiner(self, objective: Objective) -> Evaluator | None:
        """None: it is precise."""
        return None
