"""An actor that holds a network and measures tiles, on any machine of the cluster."""

from __future__ import annotations

import socket
from typing import Any, NamedTuple

import ray
import torch
from torch import Tensor

from impasto import __version__
from impasto.config import Plan
from impasto.distributed.packing import pack, unpack
from impasto.engine import DTYPES
from impasto.engine.backprop import ForwardCache
from impasto.engine.local_tiles import LocalTiles
from impasto.engine.tile_targets import TileTargets, crop_features, make_injector, measure_tile

__all__ = ["TileActor", "TileTask"]


class TileTask(NamedTuple):
    """One tile of one evaluation.

    With `keep`, the forward pass is stored for `gradients`. `targets` holds a reference, in a list so that Ray does not
    resolve it.
    """

    objective: int
    evaluation: int
    tile: int
    precise: bool
    keep: bool
    targets: list[Any]


class TileActor:
    """Measures tiles for an engine in another process, as `LocalTiles` does. All tensors are packed."""

    def __init__(self, encoder: bytes, plan: Plan) -> None:
        torch.set_num_threads(plan.threads)
        self.device = plan.device
        self.local = LocalTiles(
            unpack(encoder, plan.device),
            dtype=DTYPES[plan.precision],
            winograd_channels=plan.winograd_channels,
            kernels=plan.kernels,
        )
        self.objective, self.targets = -1, dict[int, TileTargets]()
        self.kept: tuple[int, int, ForwardCache] | None = None

    def ready(self) -> tuple[str, str]:
        """Return this actor's version and machine, once it has started."""
        return __version__, socket.gethostname()

    @torch.no_grad()
    def features(self, task: TileTask, pixels: bytes) -> bytes:
        """Compute the own features of a tile."""
        targets = self._fetch(task)
        return pack(crop_features(targets, self._forward(task, targets, pixels, keep=False).features))

    @torch.no_grad()
    def stats(self, task: TileTask, pixels: bytes) -> bytes:
        """Measure the content errors and moments of a tile."""
        targets = self._fetch(task)
        forward = self._forward(task, targets, pixels, keep=task.keep)
        if task.keep:
            self.kept = (task.evaluation, task.tile, forward)
        return pack(measure_tile(targets, forward.features, self.local.chain(precise=task.precise).operations))

    @torch.no_grad()
    def gradients(self, task: TileTask, pixels: bytes, gradients: bytes) -> bytes:
        """Compute d(total)/d(pixels) of a tile with its margin."""
        targets = self._fetch(task)
        kept, self.kept = self.kept, None
        if kept is not None and kept[:2] == (task.evaluation, task.tile):
            forward = kept[2]
        else:
            del kept  # before the forward pass needs as much memory
            forward = self._forward(task, targets, pixels, keep=True)
        chain = self.local.chain(precise=task.precise)
        return pack(chain.backward(forward, make_injector(targets, unpack(gradients, self.device), chain.operations)))

    def _forward(self, task: TileTask, targets: TileTargets, pixels: bytes, *, keep: bool) -> ForwardCache:
        self.kept = None
        image: Tensor = unpack(pixels, self.device)
        chain = self.local.chain(precise=task.precise)
        return chain.forward(image, targets.layers, keep=keep, wrap=targets.tile.wrap)

    def _fetch(self, task: TileTask) -> TileTargets:
        """Return the targets of a tile, fetched once; those of an earlier objective are dropped."""
        if self.objective != task.objective:
            self.objective, self.targets = task.objective, {}
        if task.tile not in self.targets:
            self.targets[task.tile] = unpack(ray.get(task.targets[0]), self.device)
        return self.targets[task.tile]
