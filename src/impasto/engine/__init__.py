"""Engines that are faster or need less memory, with the same answers as `evaluate.AutogradEngine`."""

from __future__ import annotations

import torch

from impasto.config import Plan
from impasto.encoder import Encoder
from impasto.engine.chained import ChainedEngine
from impasto.evaluate import AutogradEngine, Engine
from impasto.store import Store

__all__ = ["DTYPES", "engine_of"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""By the name that a plan has for them."""


def engine_of(plan: Plan, encoder: Encoder, store: Store | None = None) -> Engine:
    """The engine that a plan names, its long vectors in `store` if that is not memory."""
    if plan.evaluator == "autograd":
        return AutogradEngine(encoder)
    return ChainedEngine(
        encoder,
        dtype=DTYPES[plan.precision],
        winograd=plan.winograd,
        block=plan.block,
        store=store,
    )
