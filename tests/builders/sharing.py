"""Networks and samples that commands of one process share, as the jobs of a worker do."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from impasto import samples
from impasto.config import Config, Plan
from impasto.core.encoder import Encoder
from impasto.core.evaluate import Engine
from impasto.engine import build_engine
from impasto.run import ModelCache

__all__ = ["share_models"]

_encoders: dict[Any, Encoder] = {}
_engines: dict[Any, Engine] = {}

_paint = functools.cache(samples.paint)
_load = ModelCache.encoder


def _load_once(cache: ModelCache, config: Config, weights: Any, device: str) -> Encoder:
    """Load a network, at first use by this process unless its weights come from a file."""
    if weights is not None:
        return _load(cache, config, weights, device)
    key = (config.network, config.pooling, config.padding, device)
    if key not in _encoders:
        _encoders[key] = _load(cache, config, None, device)
    return _encoders[key]


def _build_once(plan: Plan, encoder: Encoder, *rest: Any) -> Engine:
    """Build an engine, at first use unless it works in tiles, on disk or with another network."""
    is_shared = any(encoder is loaded for loaded in _encoders.values())
    if not is_shared or plan.tile_px is not None or any(part is not None for part in rest):
        return build_engine(plan, encoder, *rest)
    key = (id(encoder), plan)
    if key not in _engines:
        _engines[key] = build_engine(plan, encoder)
    return _engines[key]


def _paint_once(name: str, *, size_px: int = 512, seed: int = 0) -> NDArray[np.uint8]:
    return _paint(name, size_px=size_px, seed=seed).copy()


def share_models(patch: pytest.MonkeyPatch) -> None:
    """Let runs of this process share networks, their packed kernels, and the samples.

    Commands paint two steps of small pictures in the tests of the docs, so loading would take most of their time.
    """
    patch.setattr(ModelCache, "encoder", _load_once)
    patch.setattr("impasto.run.model_cache.build_engine", _build_once)
    patch.setattr(samples, "paint", _paint_once)
