"""Engines that are faster or need less memory, with the same answers as `evaluate.AutogradEngine`."""

from __future__ import annotations

import torch

from impasto.config import Plan
from impasto.core.encoder import Encoder
from impasto.core.evaluate import AutogradEngine, Engine
from impasto.core.tensor_store import TensorStore
from impasto.engine.tiled import TiledEngine

__all__ = ["DTYPES", "build_engine"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""By the name that a plan has for them."""


def build_engine(plan: Plan, encoder: Encoder, store: TensorStore | None = None) -> Engine:
    """The engine that a plan names, its long vectors in `store` if that is not memory."""
    if plan.evaluator == "autograd":
        return AutogradEngine(encoder)
    return TiledEngine(
        encoder,
        dtype=DTYPES[plan.precision],
        winograd=plan.winograd,
        block=plan.block,
        store=store,
    )
