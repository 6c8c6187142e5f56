"""The surface that descent goes down: image -> value and gradient in z, and what one step leaves behind.

Laws: what is minimized is numel × total, because a relative loss has gradients per pixel that shrink as one over
their number. A point's tensors are never changed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from impasto.core.evaluate import Evaluator
from impasto.core.objective import Losses
from impasto.core.preconditioner import Filter
from impasto.core.tensor_store import TensorStore, clamp_unit, is_finite, iter_chunks, rms
from impasto.errors import DivergenceError

__all__ = ["Descent", "Point", "State", "Step"]

FENCE = 10.0
"""Strength of the fence around [0, 1]. 10 to 1000 end within 1 % of each other; a steep one hinders L-BFGS."""


@dataclass(frozen=True)
class State:
    """What descent at one scale goes on from after a step, to the bit. Tensors are views, valid until the next."""

    iteration: int
    image: Tensor
    evaluations: int
    restarts: int
    memory: dict[str, Tensor]
    numbers: dict[str, float]


@dataclass(frozen=True)
class Step(State):
    """Where it stands: the best image so far, its losses, the root mean square of d(numel × total)/d(pixel)."""

    losses: Losses
    gradient_rms: float


@dataclass(frozen=True)
class Point:
    """A place on the surface: an image, numel × total there, and the gradient in z."""

    image: Tensor
    value: float
    gradient: Tensor
    gradient_rms: float
    losses: Losses
    is_finite: bool


class Descent:
    """image -> `Point`, counting evaluations.

    With `inside`, losses are those of the image clamped to [0, 1], as it will be written, and a
    quadratic fence pulls back what left that range: 3 % less loss in the written picture, and a tenth
    less style error, than clamping at the end (224 px, 60 steps).
    """

    def __init__(self, evaluate: Evaluator, smooth: Filter, store: TensorStore, *, inside: bool) -> None:
        self.evaluate, self.smooth, self.store, self.inside = evaluate, smooth, store, inside
        self.evaluations = 0
        self.refine, self.refine_from = evaluate, 0

    def at(self, image: Tensor) -> Point:
        """Measure an image."""
        self.evaluations += 1
        evaluation = self.evaluate(clamp_unit(self.store, image) if self.inside else image)
        gradient, numel, fence = evaluation.gradient, image.numel(), 0.0
        for g, x in iter_chunks(self.store, gradient, image):
            g.mul_(numel)
            if self.inside:
                outside = x - x.clamp(0, 1)
                g.mul_(outside == 0).add_(outside, alpha=2 * FENCE)
                fence += FENCE * float(outside.square().sum())
        value = float(evaluation.losses.total) * numel + fence
        steepness = rms(self.store, gradient)
        gradient = self.smooth(gradient)
        sound = math.isfinite(value) and is_finite(self.store, gradient)
        return Point(image, value, gradient, steepness, evaluation.losses, sound)

    def again(self, image: Tensor, since: State) -> Point:
        """A point that was measured before `since`; it does not count once more."""
        point = self.at(image)
        self.evaluations = since.evaluations
        return point

    def step(
        self, iteration: int, best: Point, restarts: int, memory: dict[str, Tensor], numbers: dict[str, float]
    ) -> Step:
        """A step to hand out."""
        return Step(iteration, best.image, self.evaluations, restarts, memory, numbers, best.losses, best.gradient_rms)

    def seen_from(self, point: Point, iteration: int) -> Point:
        """The same point, measured again if the more precise evaluator takes over at this iteration."""
        if iteration != self.refine_from:
            return point
        self.evaluate = self.refine
        return self.at(point.image)

    def origin(self, start: Tensor) -> Point:
        """The first point. Raises `DivergenceError` if its loss is not finite."""
        point = self.at(start)
        if not point.is_finite:
            raise DivergenceError(
                "The loss of the starting image is not finite. Lower alpha and the weights, or use relative units."
            )
        return point
