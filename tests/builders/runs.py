"""Runs with a given engine, for example of a tiny network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from impasto.config import Config, Inputs, Plan, RunOptions
from impasto.core.encoder import Encoder
from impasto.core.evaluate import AutogradEngine, Engine
from impasto.run import ModelCache, Run

PLAN = Plan(device="cpu", threads=1, torch=torch.__version__)


class FixedCache(ModelCache):
    """A cache that always returns the same engine."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.fixed = engine

    def encoder(self, config: Config, weights: Any, device: str) -> Encoder:
        return self.fixed.encoder

    def engine(self, *_: Any) -> Engine:
        return self.fixed


def picture(seed: int, height: int = 40, width: int = 56) -> Tensor:
    """Return a smooth seeded image (1, 3, H, W)."""
    coarse = torch.rand(1, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")


def build_run(encoder: Encoder, config: Config, *, engine: Engine | None = None, **inputs: Any) -> Run:
    """Build an autograd run of this encoder, with two seeded pictures unless `inputs` replaces them."""
    run_inputs = Inputs(**({"content": picture(1), "styles": (picture(2),)} | inputs))
    cache = FixedCache(engine or AutogradEngine(encoder))
    return Run(run_inputs, config, RunOptions(), recorded_plan=PLAN, cache=cache)
