"""What `auto` comes to on this machine: chosen once, by measurement, and kept in a `Plan`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.config import Plan, RunOptions
from impasto.core.pyramid import plan_scales
from impasto.engine import DTYPES
from impasto.engine.memory import Workload, available_bytes, needs, plan_memory
from impasto.engine.tiles import cut
from impasto.engine.winograd import Winograd, Workspace, uses_winograd
from impasto.errors import ConfigError

__all__ = ["Estimate", "choose_convolution", "estimate", "make_plan", "require_device"]

WORTHWHILE = 1.15
"""How much faster is faster: what bfloat16 saves must outweigh finishing in float32."""

BESIDES = 1.3
"""A step over its convolutions: ReLU, pooling, moments, the descent itself."""

ROOMY = 2e9
"""Bytes of --memory below which Winograd's kernels are not worth their room."""

CHANNELS, SIDE = 256, 48
ROUNDS = 3
"""Of timings, of which the quickest counts."""

MAX_TICK_S = 1e-3
"""Coarsest clock that can time a convolution of some 30 ms."""

WINOGRAD_FROM = 128
"""Channels. Where Winograd's convolution pays at 256 it does at 128 (57 ms against 97 where 256 have 45 against 82)."""


def make_plan(run: RunOptions, work: Workload) -> Plan:
    """A plan for this work on this machine. Raises `ConfigError`: no such device, or too little memory."""
    chosen = next(name for name, is_there in _devices().items() if is_there)
    device = run.device or chosen
    require_device(device)
    if run.threads:
        torch.set_num_threads(run.threads)  # before timing
    precision, winograd = _measured_once(device, run.precision, torch.get_num_threads())
    on_cpu = device == "cpu"
    budget = run.memory or (available_bytes() if on_cpu else math.inf)
    if winograd and run.memory and budget < ROOMY:
        winograd = 0  # its kernels are four times as large, and blocks need the room
    fitting = plan_memory(work, budget, precision=precision, winograd=winograd)
    return Plan(
        device=device,
        precision=precision,
        evaluator="chained",
        winograd=winograd,
        block=fitting.block,
        lbfgs_history=fitting.history,
        scratch=fitting.scratch,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
    )


@dataclass(frozen=True)
class Estimate:
    """What a run will take, before it is begun: seconds, and bytes of memory and disk."""

    seconds: float
    memory: float
    disk: float


def estimate(work: Workload, plan: Plan) -> Estimate:
    """What `work` will take under `plan`, within about a third. It times one convolution."""
    network, config = work.network, work.config
    products = 9.0 * CHANNELS**2 * SIDE**2
    direct = _direct_s(plan.device, DTYPES[plan.precision]) / products
    tiled = _winograd_s() / products if plan.winograd else direct
    per_pixel = 0.0
    for layer in work.chain:
        macs = layer.kernel**2 * layer.inputs * layer.outputs / network.stride(layer.name) ** 2
        per_pixel += 2 * macs * (tiled if uses_winograd(layer, plan.winograd) else direct)
    seconds = 0.0
    for scale in plan_scales(
        work.height,
        work.width,
        iterations=config.iterations,
        scales=config.scales,
        minimum_px=max(map(network.minimum_px, work.layers)),
    ):
        pixels = scale.height * scale.width
        blocks = cut(network, work.layers, scale.height, scale.width, plan.block)
        if len(blocks) > 1:  # margins, and each block forward twice
            around = sum((t.down.last - t.down.first) * (t.across.last - t.across.first) for t in blocks)
            pixels = round(1.5 * around)
        seconds += (scale.iterations + 2) * pixels * per_pixel * BESIDES
    needed = needs(
        work, plan.block, plan.lbfgs_history or config.lbfgs_history, plan.scratch, plan.precision, plan.winograd
    )
    return Estimate(seconds, needed.memory, needed.disk)


def require_device(device: str) -> None:
    """Raise `ConfigError` for a device that is not on this machine."""
    if not any(is_there and name == device for name, is_there in _devices().items()):
        raise ConfigError(f"device = {device!r}: there is none on this machine. Use auto or cpu.")


def _devices() -> dict[Literal["cuda", "mps", "cpu"], bool]:
    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}


@cache
def _measured_once(
    device: str, asked: Literal["float32", "bfloat16"] | None, threads: int
) -> tuple[Literal["float32", "bfloat16"], int]:
    """What one process found at first it goes on with: its pictures are all painted alike."""
    return choose_convolution(device, asked)


@torch.no_grad()
def choose_convolution(
    device: str, asked: Literal["float32", "bfloat16"] | None = None
) -> tuple[Literal["float32", "bfloat16"], int]:
    """Precision, and the channels from which Winograd's convolution pays, by timing the one VGG does most.

    A processor may claim bfloat16 and still be slower with it, so what it claims is not asked. It takes
    about a quarter of a second.
    """
    # The processor's time, which others that are busy here do not add to: of 16 processes, eight at a time on two busy
    # cores, all chose alike, each figure within 5 %; by the clock on the wall within half, and four chose otherwise.
    # On Windows it has ticks of 16 ms.
    is_fine = time.get_clock_info("process_time").resolution < MAX_TICK_S
    clock = time.process_time if device == "cpu" and is_fine else time.perf_counter
    direct, tiled = dict.fromkeys(DTYPES, math.inf), math.inf
    for _ in range(ROUNDS):  # in turn, so that whoever else is busy here hinders all of them
        direct = {name: min(direct[name], _direct_s(device, dtype, clock)) for name, dtype in DTYPES.items()}
        # It is written for the cache of a processor; the libraries of other devices have their own.
        if device == "cpu":
            tiled = min(tiled, _winograd_s(clock))
    # Layers of few channels are direct in any case: bfloat16 must be faster there.
    faster = direct["bfloat16"] * WORTHWHILE < direct["float32"]
    precision: Literal["float32", "bfloat16"] = "bfloat16" if faster else "float32"
    if asked is not None:
        precision = asked
    return precision, WINOGRAD_FROM if tiled * WORTHWHILE < direct[precision] else 0


def _trial(device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """An image and a kernel, in the layout that convolutions are fastest in."""
    shapes = ((1, CHANNELS, SIDE, SIDE), (CHANNELS, CHANNELS, 3, 3))
    image, kernel = (torch.randn(shape, device=device).to(dtype) for shape in shapes)
    return image.contiguous(memory_format=torch.channels_last), kernel.contiguous(memory_format=torch.channels_last)


Clock = Callable[[], float]


def _winograd_s(clock: Clock = time.perf_counter) -> float:
    image, kernel = _trial("cpu", torch.float32)
    return _seconds(Winograd(kernel, None, Workspace()), image, clock)


def _direct_s(device: str, dtype: torch.dtype, clock: Clock = time.perf_counter) -> float:
    x, w = _trial(device, dtype)
    try:
        return _seconds(lambda x: F.conv2d(x, w, padding=1), x, clock)
    except RuntimeError:  # a device without it
        return math.inf


def _seconds(convolve: Callable[[Tensor], Tensor], x: Tensor, clock: Clock) -> float:
    """The quickest of a few: others that are busy here only ever add to it."""
    times = []
    for _ in range(2):
        began = clock()
        # Reading a number waits for the device to be done.
        float(convolve(x)[0, 0, 0, 0])
        times.append(clock() - began)
    return min(times)
