"""Who measures tiles of a picture on some machine of the cluster: an actor that has a network, and nothing else."""

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
from impasto.engine.tile_targets import TileStats, TileTargets, crop_features, make_injector, measure_tile
from impasto.engine.tiled import TiledEngine

__all__ = ["Task", "TileActor", "sending_tensors"]


class Task(NamedTuple):
    """Which tile of what, for which evaluation; `portion` is in a list, so that Ray does not fetch it."""

    exact: bool
    objective: int
    evaluation: int
    tile: int
    portion: list[Any]


_here = {"device": "cpu"}
"""Where tensors that come into this process are put."""


def sending_tensors(device: str) -> None:
    """Tensors leave this process as arrays, which Ray does not copy into a pickle; of a view no more than is seen.

    Those that come are put on `device`.
    """
    _here["device"] = device
    ray.util.register_serializer(Tensor, serializer=packed, deserializer=unpacked)


def packed(tensor: Tensor) -> tuple[np.ndarray[Any, Any], list[int]]:
    """Numbers in the order in which they lie, and the dimensions in that order: sums depend on it."""
    order = sorted(range(tensor.dim()), key=lambda dim: -tensor.stride()[dim])
    return tensor.detach().cpu().permute(order).contiguous().numpy(), order


def unpacked(sent: tuple[np.ndarray[Any, Any], list[int]]) -> Tensor:
    """A copy of one's own, laid out as it was."""
    array, order = sent
    return torch.from_numpy(array.copy()).to(_here["device"]).permute([order.index(dim) for dim in range(len(order))])


def triple(values: Tensor) -> Triple:
    """Three numbers of a normalization."""
    red, green, blue = map(float, values.flatten())
    return red, green, blue


class TileActor:
    """Measures tiles as `TiledEngine` does, for an engine elsewhere that adds up what they come to."""

    def __init__(self, encoder: Encoder, plan: Plan) -> None:
        sending_tensors(plan.device)
        torch.set_num_threads(plan.threads)
        weights = Weights(encoder.kernels, encoder.biases, triple(encoder.mean), triple(encoder.std))
        self.encoder = Encoder(
            encoder.network, weights, pooling=encoder.pooling, padding=encoder.padding, device=plan.device
        )
        self.engine = TiledEngine(self.encoder, dtype=DTYPES[plan.precision], winograd=plan.winograd)
        self.objective, self.portions = -1, dict[int, TileTargets]()
        self.kept: tuple[int, int, ForwardCache] | None = None

    def ready(self) -> tuple[str, str]:
        """It is there; its version, and the machine."""
        return __version__, socket.gethostname()

    @torch.no_grad()
    def features(self, task: Task, pixels: Tensor) -> Features:
        """A tile's own features."""
        portion = self._portion(task)
        return crop_features(portion, self._passage(task, portion, pixels, keep=False).features)

    @torch.no_grad()
    def survey(self, task: Task, pixels: Tensor, keep: bool) -> TileStats:
        """What a tile adds. With `keep` the way back need not go this way again."""
        portion = self._portion(task)
        passage = self._passage(task, portion, pixels, keep=keep)
        if keep:
            self.kept = (task.evaluation, task.tile, passage)
        return measure_tile(portion, passage.features)

    @torch.no_grad()
    def gradient(self, task: Task, pixels: Tensor, slopes: Gradients) -> Tensor:
        """d(total) by a tile's pixels."""
        portion = self._portion(task)
        kept, self.kept = self.kept, None
        if kept is not None and kept[:2] == (task.evaluation, task.tile):
            passage = kept[2]
        else:
            del kept  # before as much is asked for again
            passage = self._passage(task, portion, pixels, keep=True)
        return self._chain(task).backward(passage, make_injector(portion, slopes))

    def _passage(self, task: Task, portion: TileTargets, pixels: Tensor, *, keep: bool) -> ForwardCache:
        self.kept = None
        return self._chain(task).forward(pixels, portion.layers, keep=keep)

    def _chain(self, task: Task) -> ManualBackprop:
        return self.engine.exact if task.exact else self.engine.main

    def _portion(self, task: Task) -> TileTargets:
        """That of a tile, fetched once; those of the objective before are dropped."""
        if self.objective != task.objective:
            self.objective, self.portions = task.objective, {}
        if task.tile not in self.portions:
            self.portions[task.tile] = ray.get(task.portion[0])
        return self.portions[task.tile]
