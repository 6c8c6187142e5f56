"""Descent at one scale: L-BFGS or Adam over an `Evaluator`, as a generator of steps.

Laws: the image (1, 3, H, W) is the only thing that changes. A step that diverges is undone, so NaN never lasts.

Descent works on z in `image = start + A z`. For pixels A is the identity; for the Fourier parametrization it is a
filter that favors low frequencies. A is symmetric, so d/dz = A d/d(image). Only steps in z are needed, never z itself.
Large tensors come from a `TensorStore` and are processed in chunks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator

import torch
from torch import Tensor

from impasto.config import ResolvedConfig
from impasto.config.wrap import wrapped_dims
from impasto.core.curvature import Pair, apply_inverse_hessian, make_pair
from impasto.core.descent import Descent, Point
from impasto.core.evaluate import Evaluator
from impasto.core.optimizer_state import AdamState, LBFGSState, OptimizerState
from impasto.core.preconditioner import fourier_filter
from impasto.core.tensor_store import (
    RamStore,
    Scalar,
    TensorStore,
    clone,
    dot,
    iter_chunks,
    rms,
    scale,
    weighted_sum,
    zeros,
)

__all__ = ["descend"]

FIRST_STEP_RMS = 0.02
"""Change of the pixels, of a range of 1, in a step that is taken before any curvature is known."""

SHRINK = 0.25
MAX_TRIES = 8

PRECISE_SHARE = 10
"""One step in this many, at the end, uses the precise evaluator. Where the others compute in bfloat16, totals are then
within .05 % of those with one in five, and of those with none (three pairs, 384 and 512 px)."""

BLACK_SHARE = 0.1
"""Share of a black image's loss that counts as 1. The preset gatys2016 ends at a loss of 1.16e7 without such a unit,
and with shares of .01, .1 and 1 at 1.15e7, 1.13e7 and 1.18e7 (128 px)."""

BETAS, EPSILON = (0.9, 0.99), 1e-8
"""Of Adam."""

EXPLODED = 100.0
"""Adam's loss may rise, but not to this many times its best."""


def descend(
    evaluate: Evaluator,
    start: Tensor,
    config: ResolvedConfig,
    iterations: int,
    *,
    precise: Evaluator | None = None,
    store: TensorStore | None = None,
    state: OptimizerState | None = None,
) -> Generator[tuple[OptimizerState, Point], None, None]:
    """Minimize from `start`, or continue from `state`; yield the state and the best point after each step.

    `start` is not changed. The `precise` evaluator takes over for the last steps.
    Raises `DivergenceError` if the loss of the start is not finite.
    """
    store = store or RamStore(start.device)
    fourier, wrap = config.parametrization == "fourier", wrapped_dims(config.wrap)
    smooth = fourier_filter(start, config.fourier_power, store, wrap) if fourier else lambda z: z
    precise_from = iterations - iterations // PRECISE_SHARE + 1
    descent = Descent(
        evaluate,
        smooth,
        store,
        clamp=config.clamp,
        loss_unit=_measure_unit(evaluate, start, config, store),
        precise=precise,
        precise_from=precise_from,
    )
    if config.optimizer == "lbfgs":
        assert state is None or isinstance(state, LBFGSState)
        yield from _lbfgs(descent, start, iterations, config.lbfgs_history, state)
    else:
        assert state is None or isinstance(state, AdamState)
        yield from _adam(descent, start, iterations, config.learning_rate, state)


def _measure_unit(evaluate: Evaluator, start: Tensor, config: ResolvedConfig, store: TensorStore) -> float:
    """Return the loss that counts as 1: in absolute units, a share of the loss of a black image."""
    if config.units == "relative" or not config.clamp:
        return 1.0
    return BLACK_SHARE * float(evaluate(zeros(store, start)).losses.total)


def _lbfgs(
    descent: Descent, start: Tensor, iterations: int, history: int, state: LBFGSState | None
) -> Generator[tuple[LBFGSState, Point], None, None]:
    """Run limited-memory BFGS (Liu & Nocedal 1989) with unit steps, shortened until they descend."""
    store = descent.store
    point = descent.start(start) if state is None else descent.remeasure(state.image, state)
    pairs: deque[Pair] = deque(_restore_pairs(store, state) if state else (), maxlen=history)
    restarts = state.restarts if state else 0
    at_rest = point if state and state.at_rest else None
    for iteration in range(state.iteration + 1 if state else 1, iterations + 1):
        point = descent.switch_precision(point, iteration)
        steepness = dot(store, point.gradient, point.gradient)
        if steepness == 0:
            at_rest = point
        if point is not at_rest:  # else no step descends, and the remaining ones are free
            direction = apply_inverse_hessian(store, point.gradient, pairs)
            slope = dot(store, direction, point.gradient)
            if not slope < 0:
                pairs.clear()
                direction, slope = apply_inverse_hessian(store, point.gradient, pairs), -steepness
            moved, pair = _search(descent, point, direction, slope, is_first=not pairs)
            if moved is None:
                at_rest = None if pairs else point
                pairs.clear()  # the curvature does not fit the objective here: start afresh
                restarts += 1
            else:
                point = moved
            if pair is not None:
                pairs.append(pair)
        steps, changes = tuple(step for step, _, _ in pairs), tuple(change for _, change, _ in pairs)
        counts = descent.evaluations, restarts
        yield LBFGSState(iteration, point.image, *counts, steps, changes, point is at_rest), point


def _search(
    descent: Descent, point: Point, direction: Tensor, slope: Scalar, *, is_first: bool
) -> tuple[Point | None, Pair | None]:
    """Find a point along `direction` that is low enough; also return its curvature.

    Shortens the step, and scales `direction` to it in place.
    """
    store = descent.store
    move = descent.smooth(direction)
    length = FIRST_STEP_RMS / max(rms(store, move), 1e-30) if is_first else 1.0
    for _ in range(MAX_TRIES):
        # region accepted step
        moved = descent.measure(weighted_sum(store, 1, point.image, length, move))
        # Armijo's condition.
        if moved.is_finite and moved.value <= point.value + 1e-4 * length * slope:
            # endregion
            change = weighted_sum(store, 1, moved.gradient, -1, point.gradient)
            scale(store, direction, length)
            return moved, make_pair(store, direction, change)
        length *= SHRINK
    return None, None


def _restore_pairs(store: TensorStore, state: LBFGSState) -> Iterator[Pair]:
    for step, change in zip(state.steps, state.changes, strict=True):
        yield step, change, dot(store, step, change)


def _adam(
    descent: Descent, start: Tensor, iterations: int, learning_rate: float, state: AdamState | None
) -> Generator[tuple[AdamState, Point], None, None]:
    """Run Adam (Kingma & Ba 2014), yielding the best point so far, since its loss may rise.

    If the loss explodes, return to that point and halve the learning rate.
    """
    store = descent.store
    if state is None:
        point = best = descent.start(start)
        mean, square, age, restarts = zeros(store, start), zeros(store, start), 0, 0
    else:
        best, point = (descent.remeasure(image, state) for image in (state.image, state.moving))
        mean, square = clone(store, state.mean), clone(store, state.square)
        age, restarts, learning_rate = state.age, state.restarts, state.learning_rate
    for iteration in range(state.iteration + 1 if state else 1, iterations + 1):
        switched = descent.switch_precision(best, iteration)
        if switched is not best:
            point = best = switched
            mean, square, age = zeros(store, start), zeros(store, start), 0
        age += 1
        direction = _adam_direction(store, point.gradient, mean, square, age)
        rate = learning_rate / (1 - BETAS[0] ** age)
        point = descent.measure(weighted_sum(store, 1, point.image, -rate, descent.smooth(direction)))
        if not (point.is_finite and point.value <= EXPLODED * best.value):
            learning_rate *= 0.5
            restarts += 1
            point = best
            mean, square, age = zeros(store, start), zeros(store, start), 0
        elif point.value < best.value:
            best = point
        counts = descent.evaluations, restarts
        yield AdamState(iteration, best.image, *counts, point.image, mean, square, age, learning_rate), best


def _adam_direction(store: TensorStore, gradient: Tensor, mean: Tensor, square: Tensor, age: int) -> Tensor:
    """Update the running averages in place, and return their quotient without the bias of `mean`."""
    direction = store.empty(gradient.shape, gradient.dtype)
    for d, g, m, v in iter_chunks(store, direction, gradient, mean, square):
        m.lerp_(g, 1 - BETAS[0])
        v.mul_(BETAS[1]).addcmul_(g, g, value=1 - BETAS[1])
        torch.div(m, (v / (1 - BETAS[1] ** age)).sqrt_().add_(EPSILON), out=d)
    return direction
