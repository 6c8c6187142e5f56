"""Faster evaluators with the same answer: each is tested against `evaluate.autograd_evaluator`."""

from __future__ import annotations

import torch

from impasto.config import Plan
from impasto.encoder import Encoder
from impasto.engine.chained import chained_evaluator
from impasto.evaluate import Evaluator, autograd_evaluator
from impasto.method import EvaluatorFor
from impasto.objective import Objective

__all__ = ["evaluators"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def evaluators(plan: Plan) -> tuple[EvaluatorFor, EvaluatorFor]:
    """The evaluator that a plan names, and the one for the last steps, which is in float32."""
    if plan.evaluator == "autograd":
        return autograd_evaluator, autograd_evaluator

    def main(encoder: Encoder, objective: Objective) -> Evaluator:
        return chained_evaluator(encoder, objective, dtype=DTYPES[plan.precision], winograd=plan.winograd)

    def refiner(encoder: Encoder, objective: Objective) -> Evaluator:
        return chained_evaluator(encoder, objective, winograd=plan.winograd)

    return main, refiner
