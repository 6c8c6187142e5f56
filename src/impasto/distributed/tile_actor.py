"""An actor that holds a network and measures tiles, on any machine of the cluster."""

from __future__ import annotations

import socket
from typing import Any, NamedTuple

import numpy as np
import ray
import torch
from torch import Tensor

from impasto import __version__
from impasto.config import Plan
from impasto.core.encoder import Encoder, Features, Triple, Weights
from impasto.engine import DTYPES
from impasto.engine.backprop import ForwardCache, ManualBackprop
from impasto.engine.gradients import Gradients
from impasto.engine.local_tiles import LocalTiles
from impasto.engine.tile_targets import TileStats, TileTargets, crop_features, make_injector, measure_tile

__all__ = ["Task", "TileActor", "sending_tensors"]


class Task(NamedTuple):
    """One tile of one evaluation. `targets` holds a reference, in a list so that Ray does not resolve it."""

    precise: bool
    objective: int
    evaluation: int
    tile: int
    targets: list[Any]


_here = {"device": "cpu"}
"""Device of the tensors that this process receives."""


def sending_tensors(device: str) -> None:
    """Send tensors as arrays, which Ray does not copy into a pickle, and views without the rest of their storage.

    Received tensors go to `device`.
    """
    _here["device"] = device
    ray.util.register_serializer(Tensor, serializer=packed, deserializer=unpacked)


def packed(tensor: Tensor) -> tuple[np.ndarray[Any, Any], list[int]]:
    """Return the values in memory order, and the dimensions in that order: sums depend on it."""
    order = sorted(range(tensor.dim()), key=lambda dim: -tensor.stride()[dim])
    return tensor.detach().cpu().permute(order).contiguous().numpy(), order


def unpacked(sent: tuple[np.ndarray[Any, Any], list[int]]) -> Tensor:
    """Return a copy with the original memory layout."""
    array, order = sent
    return torch.from_numpy(array.copy()).to(_here["device"]).permute([order.index(dim) for dim in range(len(order))])


def triple(values: Tensor) -> Triple:
    """Return a normalization as three floats."""
    red, green, blue = map(float, values.flatten())
    return red, green, blue


class TileActor:
    """Measures tiles for an engine in another process, as `LocalTiles` does."""

    def __init__(self, encoder: Encoder, plan: Plan) -> None:
        sending_tensors(plan.device)
        torch.set_num_threads(plan.threads)
        weights = Weights(encoder.kernels, encoder.biases, triple(encoder.mean), triple(encoder.std))
        self.encoder = Encoder(
            encoder.network, weights, pooling=encoder.pooling, padding=encoder.padding, device=plan.device
        )
        self.local = LocalTiles(self.encoder, dtype=DTYPES[plan.precision], winograd_channels=plan.winograd_channels)
        self.objective, self.targets = -1, dict[int, TileTargets]()
        self.kept: tuple[int, int, ForwardCache] | None = None

    def ready(self) -> tuple[str, str]:
        """Return this actor's version and machine, once it has started."""
        return __version__, socket.gethostname()

    @torch.no_grad()
    def features(self, task: Task, pixels: Tensor) -> Features:
        """Compute the own features of a tile."""
        targets = self._fetch(task)
        return crop_features(targets, self._forward(task, targets, pixels, keep=False).features)

    @torch.no_grad()
    def stats(self, task: Task, pixels: Tensor, keep: bool) -> TileStats:
        """Measure a tile. With `keep`, store the forward pass for `gradient`."""
        targets = self._fetch(task)
        forward = self._forward(task, targets, pixels, keep=keep)
        if keep:
            self.kept = (task.evaluation, task.tile, forward)
        return measure_tile(targets, forward.features)

    @torch.no_grad()
    def gradient(self, task: Task, pixels: Tensor, gradients: Gradients) -> Tensor:
        """Compute d(total)/d(pixels) of a tile with its margin."""
        targets = self._fetch(task)
        kept, self.kept = self.kept, None
        if kept is not None and kept[:2] == (task.evaluation, task.tile):
            forward = kept[2]
        else:
            del kept  # before the forward pass needs as much memory
            forward = self._forward(task, targets, pixels, keep=True)
        return self._chain(task).backward(forward, make_injector(targets, gradients))

    def _forward(self, task: Task, targets: TileTargets, pixels: Tensor, *, keep: bool) -> ForwardCache:
        self.kept = None
        return self._chain(task).forward(pixels, targets.layers, keep=keep)

    def _chain(self, task: Task) -> ManualBackprop:
        return self.local.chain(precise=task.precise)

    def _fetch(self, task: Task) -> TileTargets:
        """Return the targets of a tile, fetched once; those of an earlier objective are dropped."""
        if self.objective != task.objective:
            self.objective, self.targets = task.objective, {}
        if task.tile not in self.targets:
            self.targets[task.tile] = ray.get(task.targets[0])
        return self.targets[task.tile]
