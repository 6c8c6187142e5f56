"""Caches shared by several runs: loaded networks, and measurements of pictures."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from impasto.config import Config, Plan
from impasto.config.networks import architecture
from impasto.config.wrap import Dims
from impasto.core.encoder import Encoder, Features, Weights
from impasto.core.evaluate import Engine
from impasto.core.statistics import Moments
from impasto.core.tensor_store import TensorStore
from impasto.engine import build_engine
from impasto.engine.local_tiles import TileBackendFactory
from impasto.images import NamedImage
from impasto.weights import load as load_weights

__all__ = ["CachingEngine", "ModelCache", "SharedCache"]

CACHE_BYTES = 512 << 20
"""Cache limit. One style at 512 px takes 3 MB, a content's features 6 MB."""


class SharedCache(Protocol):
    """A cache of measurements shared by several processes, for one network and plan."""

    def take(self, key: Any) -> Any:
        """Return a cached value, or None: then the caller computes it and calls `put`."""

    def put(self, key: Any, value: Any) -> None:
        """Store a value for other processes."""


class ModelCache:
    """Networks and engines, loaded at first use and kept for other runs.

    With `cache_measurements`, their measurements are kept too, which pays when runs share a picture at one size;
    `shared` makes the cache that processes share. `load` loads weights, by default from this machine.
    """

    def __init__(
        self,
        *,
        cache_measurements: bool = False,
        load: Callable[[str, Path | None], Weights] = load_weights,
        shared: Callable[[Encoder, Plan], SharedCache] | None = None,
    ) -> None:
        self.cache_measurements, self.load, self.shared = cache_measurements, load, shared
        self._encoders: dict[Any, Encoder] = {}
        self._engines: dict[Any, Engine] = {}

    def encoder(self, config: Config, weights: Any, device: str) -> Encoder:
        """Return the frozen network that a config names. Raises `WeightsError`."""
        source = weights.pixels if isinstance(weights, NamedImage) else weights  # a file stored under another name
        file = Path(source) if source is not None else None
        key = (config.network, file, config.pooling, config.padding, device)
        if key not in self._encoders:
            loaded = self.load(config.network, file)
            self._encoders[key] = Encoder(
                architecture(config.network), loaded, pooling=config.pooling, padding=config.padding, device=device
            )
        return self._encoders[key]

    def engine(
        self,
        plan: Plan,
        encoder: Encoder,
        store: TensorStore | None = None,
        tile_backend: TileBackendFactory | None = None,
    ) -> Engine:
        """Return the engine of a plan. One that works in tiles or on disk is not cached."""
        if plan.tile_px is not None or store is not None:
            return build_engine(plan, encoder, store, tile_backend)
        key = (id(encoder), plan)
        if key not in self._engines:
            engine = build_engine(plan, encoder)
            shared = self.shared(encoder, plan) if self.shared is not None else None
            self._engines[key] = CachingEngine(engine, shared) if self.cache_measurements else engine
        return self._engines[key]


class CachingEngine:
    """An engine that measures the same pixels only once."""

    def __init__(self, engine: Engine, shared: SharedCache | None = None, limit_bytes: int = CACHE_BYTES) -> None:
        self.engine, self.shared, self.limit_bytes = engine, shared, limit_bytes
        self.encoder, self.store, self.measure = engine.encoder, engine.store, engine.measure
        self.evaluator, self.precise_evaluator = engine.evaluator, engine.precise_evaluator
        self._values: OrderedDict[Any, tuple[Any, int]] = OrderedDict()

    def features(self, image: Tensor, layers: Iterable[str], wrap: Dims = ()) -> Features:
        """Return the features of an image; do not change them."""

        def measure(image: Tensor, layers: list[str]) -> Features:
            return self.engine.features(image, layers, wrap)

        return self._cached(f"features {wrap}", image, layers, measure, lambda value: [value])

    def moments(
        self, image: Tensor, layers: Iterable[str], masks: dict[str, Tensor] | None = None
    ) -> dict[str, tuple[Moments, ...]]:
        """Return the moments of an image's features. Those of regions are not cached."""
        if masks:
            return self.engine.moments(image, layers, masks)
        return self._cached(
            "moments", image, layers, self.engine.moments, lambda value: [part.outer for part in value], self.shared
        )

    def _cached(
        self,
        kind: str,
        image: Tensor,
        layers: Iterable[str],
        measure: Callable[[Tensor, list[str]], dict[str, Any]],
        tensors: Callable[[Any], list[Tensor]],
        shared: SharedCache | None = None,
    ) -> dict[str, Any]:
        """Return values by layer, measuring only the layers that are not cached."""
        pixels = hashlib.blake2b(image.cpu().contiguous().numpy().data, digest_size=16).digest()
        keys = {layer: (kind, tuple(image.shape), pixels, layer) for layer in layers}
        missing = [layer for layer, key in keys.items() if key not in self._values]
        measured = _take_or_measure(tuple(keys[layer] for layer in missing), lambda: measure(image, missing), shared)
        for layer, value in measured.items():
            size = sum(tensor.numel() * tensor.element_size() for tensor in tensors(value))
            self._values[keys[layer]] = value, size
        values = {layer: self._values[key][0] for layer, key in keys.items()}
        for key in keys.values():
            self._values.move_to_end(key)
        while sum(size for _, size in self._values.values()) > self.limit_bytes:
            self._values.popitem(last=False)
        return values


def _take_or_measure(
    keys: tuple[Any, ...], measure: Callable[[], dict[str, Any]], shared: SharedCache | None
) -> dict[str, Any]:
    """Return values that are not cached here: from the shared cache, or measured now."""
    if not keys:
        return {}
    values: dict[str, Any] | None = shared.take(keys) if shared is not None else None
    if values is None:
        values = measure()
        if shared is not None:
            shared.put(keys, values)
    return values
