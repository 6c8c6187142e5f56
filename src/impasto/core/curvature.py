"""The curvature that L-BFGS knows: pairs of a step and the change of the gradient along it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from impasto.core.tensor_store import CHUNK, Scalar, TensorStore, add_scaled, clone, dot, scale

__all__ = ["Pair", "apply_inverse_hessian", "make_pair"]

MIN_CURVATURE = 1e-6
"""Cosine between a step and the change of the gradient. Below it, the pair carries no information."""

Pair = tuple[Tensor, Tensor, Scalar]
"""A step, the change of the gradient, and their product."""


def make_pair(store: TensorStore, step: Tensor, change: Tensor) -> Pair | None:
    """Return the curvature along a step; None if there is too little."""
    curvature = dot(store, step, change)
    # Compare an angle, which does not depend on the units of the loss.
    least = MIN_CURVATURE * math.sqrt(dot(store, step, step) * dot(store, change, change))
    return (step, change, curvature) if curvature > least else None


def apply_inverse_hessian(store: TensorStore, gradient: Tensor, pairs: Sequence[Pair]) -> Tensor:
    """Compute −H·gradient, with H the inverse Hessian that the pairs estimate (Nocedal 1980)."""
    if gradient.device.type != "cpu" and gradient.numel() <= CHUNK:
        return _apply_at_once(gradient, pairs)
    direction = clone(store, gradient)
    scale(store, direction, -1)
    coefficients = []
    for step, change, curvature in reversed(pairs):
        coefficient = dot(store, step, direction) / curvature
        coefficients.append(coefficient)
        add_scaled(store, direction, -coefficient, change)
    if pairs:
        _, change, curvature = pairs[-1]
        scale(store, direction, curvature / dot(store, change, change))
    for (step, change, curvature), coefficient in zip(pairs, reversed(coefficients), strict=True):
        add_scaled(store, direction, coefficient - dot(store, change, direction) / curvature, step)
    return direction


def _apply_at_once(gradient: Tensor, pairs: Sequence[Pair]) -> Tensor:
    """Compute the same from the products of all vectors, for a card: its time is that of the calls, not of the work.

    The direction is a weighted sum of the vectors, so that the recursion needs their products only: Chen, Wang & Zhou
    2014, "Large-scale L-BFGS using MapReduce".
    """
    steps, changes, _ = zip(*pairs, strict=True) if pairs else ((), (), ())
    vectors = torch.stack([gradient, *steps, *changes]).flatten(1)
    products = (vectors @ vectors.T).cpu().double().numpy()
    weights, first_change = products[0] * 0, 1 + len(steps)
    weights[0] = -1
    coefficients = []
    for number in reversed(range(len(steps))):
        step, change = 1 + number, first_change + number
        coefficients.append(weights @ products[step] / products[step, change])
        weights[change] -= coefficients[-1]
    if pairs:
        step, change = len(steps), first_change + len(steps) - 1
        weights *= products[step, change] / products[change, change]
    for number, coefficient in enumerate(reversed(coefficients)):
        step, change = 1 + number, first_change + number
        weights[step] += coefficient - weights @ products[change] / products[step, change]
    return (torch.from_numpy(weights).to(vectors.dtype).to(vectors.device) @ vectors).view_as(gradient)
