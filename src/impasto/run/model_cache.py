"""Part of the composition root: what stays loaded from one run to the next, so that many cost less than their sum."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from impasto.config import Config, Plan
from impasto.config.networks import architecture
from impasto.core.encoder import Encoder, Features, Weights
from impasto.core.evaluate import Engine, Evaluator
from impasto.core.objective import Losses, Objective
from impasto.core.statistics import Moments
from impasto.core.tensor_store import TensorStore
from impasto.engine import build_engine
from impasto.images import NamedImage
from impasto.weights import load as load_weights

__all__ = ["CachingEngine", "ModelCache", "SharedCache"]

MEASURED_BYTES = 512 << 20
"""Of measurements that are remembered at most; those of a style at 512 px are 3 MB, the content's features 6 MB."""


class SharedCache(Protocol):
    """Measurements that several processes share, by what was measured; each is for one network and plan."""

    def take(self, key: Any) -> Any:
        """What somebody measured; None: it is the caller's to measure, and to put here."""

    def put(self, key: Any, value: Any) -> None:
        """A measurement, for others."""


class ModelCache:
    """Networks by what they are made of, loaded at first use and kept for other runs.

    With `remember`, what they measured is kept too, which is worth it where runs share a picture and its size;
    `shared` says where others keep theirs of styles. `load` gets weights, from elsewhere than this machine if need be.
    """

    def __init__(
        self,
        *,
        remember: bool = False,
        load: Callable[[str, Path | None], Weights] = load_weights,
        shared: Callable[[Encoder, Plan], SharedCache] | None = None,
    ) -> None:
        self.remember, self.load, self.shared = remember, load, shared
        self._encoders: dict[Any, Encoder] = {}
        self._engines: dict[Any, Engine] = {}

    def encoder(self, config: Config, weights: Any, device: str) -> Encoder:
        """The frozen network that a run asks for. Raises `WeightsError`."""
        place = weights.pixels if isinstance(weights, NamedImage) else weights  # a file that had another name
        file = Path(place) if place is not None else None
        key = (config.network, file, config.pooling, config.padding, device)
        if key not in self._encoders:
            loaded = self.load(config.network, file)
            self._encoders[key] = Encoder(
                architecture(config.network), loaded, pooling=config.pooling, padding=config.padding, device=device
            )
        return self._encoders[key]

    def engine(self, plan: Plan, encoder: Encoder, scratch: TensorStore | None) -> Engine:
        """What measures with it, as the plan says. One that works in blocks or on disk is not kept."""
        if plan.block or scratch is not None:
            return build_engine(plan, encoder, scratch)
        key = (id(encoder), plan)
        if key not in self._engines:
            engine = build_engine(plan, encoder)
            shared = self.shared(encoder, plan) if self.shared is not None else None
            self._engines[key] = CachingEngine(engine, shared) if self.remember else engine
        return self._engines[key]


class CachingEngine:
    """An engine that measures a picture once: what was asked of the same pixels before is given again."""

    def __init__(self, engine: Engine, shared: SharedCache | None = None, limit_bytes: int = MEASURED_BYTES) -> None:
        self.engine, self.shared, self.limit_bytes = engine, shared, limit_bytes
        self.encoder, self.store = engine.encoder, engine.store
        self._measured: OrderedDict[Any, tuple[Any, int]] = OrderedDict()

    def features(self, image: Tensor, layers: Iterable[str]) -> Features:
        """Features of an image, which are not to be changed."""
        return self._recalled("features", image, layers, self.engine.features, lambda found: [found])

    def moments(
        self, image: Tensor, layers: Iterable[str], guides: dict[str, Tensor] | None = None
    ) -> dict[str, tuple[Moments, ...]]:
        """Moments of its features; those of regions are measured each time."""
        if guides:
            return self.engine.moments(image, layers, guides)
        return self._recalled(
            "moments", image, layers, self.engine.moments, lambda found: [part.outer for part in found], self.shared
        )

    def measure(self, objective: Objective, image: Tensor) -> Losses:
        """Losses without a gradient."""
        return self.engine.measure(objective, image)

    def evaluator(self, objective: Objective) -> Evaluator:
        """What descent asks at every step."""
        return self.engine.evaluator(objective)

    def refiner(self, objective: Objective) -> Evaluator | None:
        """A more precise evaluator for the last steps."""
        return self.engine.refiner(objective)

    def _recalled(
        self,
        what: str,
        image: Tensor,
        layers: Iterable[str],
        measure: Callable[[Tensor, list[str]], dict[str, Any]],
        tensors: Callable[[Any], list[Tensor]],
        shared: SharedCache | None = None,
    ) -> dict[str, Any]:
        pixels = hashlib.blake2b(image.cpu().contiguous().numpy().data, digest_size=16).digest()
        keys = {layer: (what, tuple(image.shape), pixels, layer) for layer in layers}
        missing = [layer for layer, key in keys.items() if key not in self._measured]
        fresh = _fresh(tuple(keys[layer] for layer in missing), lambda: measure(image, missing), shared)
        for layer, found in fresh.items():
            size = sum(tensor.numel() * tensor.element_size() for tensor in tensors(found))
            self._measured[keys[layer]] = found, size
        values = {layer: self._measured[key][0] for layer, key in keys.items()}
        for key in keys.values():
            self._measured.move_to_end(key)
        while sum(size for _, size in self._measured.values()) > self.limit_bytes:
            self._measured.popitem(last=False)
        return values


def _fresh(keys: tuple[Any, ...], measure: Callable[[], dict[str, Any]], shared: SharedCache | None) -> dict[str, Any]:
    """What is not remembered, measured here or by whoever shares with us."""
    if not keys:
        return {}
    found: dict[str, Any] | None = shared.take(keys) if shared is not None else None
    if found is None:
        found = measure()
        if shared is not None:
            shared.put(keys, found)
    return found
