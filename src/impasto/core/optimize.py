"""Descent at one scale: L-BFGS or Adam over an `Evaluator`, as a generator of steps.

Laws: the image (1, 3, H, W) is the only thing that changes. The image of a `Step` is a view that is valid
until the next one. A step that makes things worse is taken back, so NaN never lasts.

Descent is over z in `image = start + A z`. A is the identity for pixels, and for the Fourier
parametrization a filter that favors low frequencies: it is symmetric, so d/dz = A d/d(image). Only steps
in z are ever needed, never z itself. Long vectors are made by a `TensorStore`, and worked on in pieces.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterable, Iterator

import torch
from torch import Tensor

from impasto.config import ResolvedConfig
from impasto.core.descent import Descent, State, Step
from impasto.core.evaluate import Evaluator
from impasto.core.preconditioner import fourier_filter
from impasto.core.tensor_store import RamStore, TensorStore, clone, dot, iter_chunks, rms, scale, weighted_sum, zeros

__all__ = ["descend"]

FIRST_STEP_RMS = 0.02
"""How far pixels move at a first step, of a range of 1, when no curvature is known yet."""

SHRINK = 0.25
MAX_TRIES = 8

REFINED_SHARE = 5
"""One in so many steps is taken by the more precise evaluator, where there is one."""

BETAS, EPSILON = (0.9, 0.99), 1e-8
"""Adam's."""

MIN_CURVATURE = 1e-6
"""Cosine between a step and the change of gradient along it below which the pair tells nothing."""

EXPLODED = 100.0
"""Adam may go up and down; this many times the best loss it may not."""


def descend(
    evaluate: Evaluator,
    start: Tensor,
    config: ResolvedConfig,
    iterations: int,
    *,
    refine: Evaluator | None = None,
    store: TensorStore | None = None,
    since: State | None = None,
) -> Generator[Step, None, None]:
    """Minimize from `start`, one `Step` for each of `iterations`, or for those that come after `since`.

    `start` is left as it is. `refine`, a more precise evaluator, takes over for the last steps. `store` keeps the
    long vectors.
    Raises `DivergenceError` if not even the start has a finite loss.
    """
    store = store or RamStore(start.device)
    fourier = config.parametrization == "fourier"
    smooth = fourier_filter(start, config.fourier_power, store) if fourier else lambda z: z
    surface = Descent(evaluate, smooth, store, inside=config.clamp)
    if refine is not None:
        surface.refine, surface.refine_from = refine, iterations - iterations // REFINED_SHARE + 1
    if since is not None and since.iteration >= surface.refine_from:
        surface.evaluate = surface.refine
    if config.optimizer == "lbfgs":
        yield from _lbfgs(surface, start, iterations, config.lbfgs_history, since)
    else:
        yield from _adam(surface, start, iterations, config.learning_rate, since)


def _lbfgs(
    surface: Descent, start: Tensor, iterations: int, history: int, since: State | None
) -> Generator[Step, None, None]:
    """Limited-memory BFGS (Liu & Nocedal 1989), unit steps, backtracking when a step does not descend."""
    store = surface.store
    point = surface.origin(start) if since is None else surface.again(since.image, since)
    pairs: deque[_Pair] = deque(_recalled(store, since) if since else (), maxlen=history)
    restarts = since.restarts if since else 0
    at_rest = point if since and since.numbers["at_rest"] else None
    for iteration in range(since.iteration + 1 if since else 1, iterations + 1):
        point = surface.seen_from(point, iteration)
        steepness = dot(store, point.gradient, point.gradient)
        if point is at_rest or steepness == 0:  # nothing leads down: the steps left cost nothing
            yield surface.step(iteration, point, restarts, _memory(pairs), {"at_rest": True})
            continue
        direction = _two_loop(store, point.gradient, pairs)
        slope = dot(store, direction, point.gradient)
        if not slope < 0:
            pairs.clear()
            direction, slope = _two_loop(store, point.gradient, pairs), -steepness
        move = surface.smooth(direction)
        length = 1.0 if pairs else FIRST_STEP_RMS / max(rms(store, move), 1e-30)
        for _ in range(MAX_TRIES):
            # region accepted step
            moved = surface.at(weighted_sum(store, 1, point.image, length, move))
            # Armijo's condition.
            if moved.is_finite and moved.value <= point.value + 1e-4 * length * slope:
                # endregion
                pair = _pair(store, direction, length, weighted_sum(store, 1, moved.gradient, -1, point.gradient))
                if pair is not None:
                    pairs.append(pair)
                point = moved
                break
            length *= SHRINK
        else:
            at_rest = None if pairs else point
            pairs.clear()  # what was remembered no longer describes the surface: begin again from here
            restarts += 1
        yield surface.step(iteration, point, restarts, _memory(pairs), {"at_rest": point is at_rest})


_Pair = tuple[Tensor, Tensor, float]  # step, change of gradient, their product


def _pair(store: TensorStore, direction: Tensor, length: float, change: Tensor) -> _Pair | None:
    """What a step of `length` along `direction`, which becomes it, has told of the curvature."""
    scale(store, direction, length)
    curvature = dot(store, direction, change)
    # As an angle: it must not matter what units the loss is in.
    least = MIN_CURVATURE * math.sqrt(dot(store, direction, direction) * dot(store, change, change))
    return (direction, change, curvature) if curvature > least else None


def _two_loop(store: TensorStore, gradient: Tensor, pairs: deque[_Pair]) -> Tensor:
    """−H·gradient, H the inverse Hessian that the pairs (step, change of gradient) tell of."""
    direction = clone(store, gradient)
    scale(store, direction, -1)
    coefficients = []
    for step, change, curvature in reversed(pairs):
        coefficient = dot(store, step, direction) / curvature
        coefficients.append(coefficient)
        _add(store, direction, -coefficient, change)
    if pairs:
        _, change, curvature = pairs[-1]
        scale(store, direction, curvature / dot(store, change, change))
    for (step, change, curvature), coefficient in zip(pairs, reversed(coefficients), strict=True):
        _add(store, direction, coefficient - dot(store, change, direction) / curvature, step)
    return direction


def _add(store: TensorStore, to: Tensor, factor: float, vector: Tensor) -> None:
    for out, v in iter_chunks(store, to, vector):
        out.add_(v, alpha=factor)


def _memory(pairs: Iterable[_Pair]) -> dict[str, Tensor]:
    """The pairs by name, for a `State`."""
    named = (((f"step_{n}", step), (f"change_{n}", change)) for n, (step, change, _) in enumerate(pairs))
    return dict(item for both in named for item in both)


def _recalled(store: TensorStore, since: State) -> Iterator[_Pair]:
    for number in range(len(since.memory) // 2):
        step, change = since.memory[f"step_{number}"], since.memory[f"change_{number}"]
        yield step, change, dot(store, step, change)


def _adam(
    surface: Descent, start: Tensor, iterations: int, learning_rate: float, since: State | None
) -> Generator[Step, None, None]:
    """Adam (Kingma & Ba 2014). What it yields is the best image so far, for its loss may rise.

    When the loss explodes it is rolled back to that image, and its steps are halved.
    """
    store = surface.store
    if since is None:
        point = best = surface.origin(start)
        mean, square, age, restarts = zeros(store, start), zeros(store, start), 0, 0
    else:
        best, point = (surface.again(image, since) for image in (since.image, since.memory["moving"]))
        mean, square = (clone(store, since.memory[name]) for name in ("mean", "square"))
        age, restarts, learning_rate = int(since.numbers["age"]), since.restarts, since.numbers["learning_rate"]
    for iteration in range(since.iteration + 1 if since else 1, iterations + 1):
        if iteration == surface.refine_from:
            point = best = surface.seen_from(best, iteration)
            mean, square, age = zeros(store, start), zeros(store, start), 0
        age += 1
        direction = store.empty(start.shape, start.dtype)
        for d, g, m, v in iter_chunks(store, direction, point.gradient, mean, square):
            m.lerp_(g, 1 - BETAS[0])
            v.mul_(BETAS[1]).addcmul_(g, g, value=1 - BETAS[1])
            torch.div(m, (v / (1 - BETAS[1] ** age)).sqrt_().add_(EPSILON), out=d)
        rate = learning_rate / (1 - BETAS[0] ** age)
        point = surface.at(weighted_sum(store, 1, point.image, -rate, surface.smooth(direction)))
        if not (point.is_finite and point.value <= EXPLODED * best.value):
            learning_rate *= 0.5
            restarts += 1
            point = best
            mean, square, age = zeros(store, start), zeros(store, start), 0
        elif point.value < best.value:
            best = point
        memory = {"moving": point.image, "mean": mean, "square": square}
        yield surface.step(iteration, best, restarts, memory, {"age": age, "learning_rate": learning_rate})
