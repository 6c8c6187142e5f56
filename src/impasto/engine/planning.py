"""Plans: the device, precision, tiles and threads of a run, chosen once by measuring this machine."""

from __future__ import annotations

import logging
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
from impasto.config.style_losses import compares_neighbors
from impasto.core.cells import CELL_PX, COMPONENTS
from impasto.core.pyramid import plan_scales
from impasto.engine import DTYPES
from impasto.engine.limits import default_threads, free_memory_bytes
from impasto.engine.memory import Workload, memory_needs, plan_memory
from impasto.engine.tiles import cut_tiles
from impasto.engine.winograd import Winograd, Workspace, uses_winograd
from impasto.errors import ConfigError

__all__ = ["Estimate", "choose_convolution", "estimate", "make_plan", "require_device"]

logger = logging.getLogger("impasto")

Device = Literal["cuda", "mps", "cpu"]
Precision = Literal["float32", "bfloat16"]

SAFE_SHARE = 0.8
"""Share of the free memory that a run may take by default."""

CARD_SHARE = 0.75
"""Share of the memory of a card that tensors fill: it is given out in pieces that do not always fit."""

MIN_SPEEDUP = 1.15
"""Minimum speed-up before switching: the time that bfloat16 saves must exceed that of finishing in float32."""

OVERHEAD = 1.3
"""Time of a step relative to its convolutions: ReLU, pooling, moments, and descent."""

ROOMY_BYTES = 2e9
"""--memory below which Winograd's kernels, four times as large, are not worth their space."""

CHANNELS, SIDE_PX = 256, 48
TRIAL_MACS = 9.0 * CHANNELS**2 * SIDE_PX**2
"""Channels, side and multiplications of the convolution that is timed."""

ROUNDS = 3
"""Rounds of timings, of which the fastest counts."""

MAX_TICK_S = 0.001
"""Coarsest clock that can time a convolution of some 30 ms."""

WINOGRAD_CHANNELS = 128
"""Where Winograd's convolution is faster at 256 channels, it is at 128: 57 ms instead of 97 where 256 channels take 45
instead of 82."""


def make_plan(options: RunOptions, work: Workload) -> Plan:
    """Choose a plan for this work and machine. Raises `ConfigError`: no such device, or too little memory."""
    fastest = next(name for name, is_present in _devices().items() if is_present)
    device = options.device or fastest
    require_device(device)
    threads = options.threads or default_threads()
    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)  # before timing
    precision, winograd_channels = _choose_once(device, options.precision, threads)
    budget = options.memory or available_bytes(device)
    if device == "cuda":
        budget *= CARD_SHARE
    if options.memory and budget < ROOMY_BYTES:
        winograd_channels = None
    memory = plan_memory(work, budget, precision=precision, winograd_channels=winograd_channels)
    plan = Plan(
        device=device,
        precision=precision,
        engine="manual",
        winograd_channels=winograd_channels,
        tile_px=memory.tile_px,
        lbfgs_history=memory.lbfgs_history,
        on_disk=memory.on_disk,
        threads=threads,
        torch=torch.__version__,
    )
    _log(plan, work, memory.memory_bytes, budget)
    return plan


def available_bytes(device: Device) -> float:
    """Return the memory that a run on a device may take by default: a share of what is free."""
    if device == "cuda":
        own_cache = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return SAFE_SHARE * (torch.cuda.mem_get_info()[0] + own_cache)
    if device == "mps":  # shared with the processor
        return SAFE_SHARE * min(float(torch.mps.recommended_max_memory()), free_memory_bytes())
    return SAFE_SHARE * free_memory_bytes()


def _log(plan: Plan, work: Workload, memory_bytes: float, budget: float) -> None:
    """Log a plan and the reasons for it."""
    convolutions = f"Winograd from {plan.winograd_channels} channels" if plan.winograd_channels else "direct"
    logger.info(
        "Plan: %s, %s, %s convolutions, %d threads (fastest here).",
        plan.device, plan.precision, convolutions, plan.threads,
    )  # fmt: skip
    size = f"{work.width}x{work.height} px"
    if plan.tile_px is None:
        logger.info("Plan: %s as a whole: %.1f GB of memory.", size, memory_bytes / 1e9)
    else:
        logger.info(
            "Plan: %s in tiles of %d px%s: the whole does not fit %.1f GB of memory.",
            size, plan.tile_px, ", large tensors on disk" if plan.on_disk else "", budget / 1e9,
        )  # fmt: skip
    if plan.lbfgs_history is not None and plan.lbfgs_history < work.config.lbfgs_history:
        logger.warning(
            "L-BFGS remembers %d steps instead of %d, to save disk space. Raise --memory to keep more.",
            plan.lbfgs_history, work.config.lbfgs_history,
        )  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """The expected seconds, memory and disk space of a run."""

    seconds: float
    memory_bytes: float
    disk_bytes: float


def estimate(work: Workload, plan: Plan) -> Estimate:
    """Estimate the time, memory and disk space of a run, within about a third. Times one convolution."""
    network, config = work.network, work.config
    direct_s = _time_direct(plan.device, DTYPES[plan.precision]) / TRIAL_MACS
    step_s = _pixel_s(work, plan, direct_s) * OVERHEAD
    seconds = 0.0
    for scale in plan_scales(
        work.height,
        work.width,
        iterations=config.iterations,
        scales=config.scales,
        minimum_px=max(map(network.minimum_px, work.layers)),
    ):
        pixels = scale.height * scale.width
        tiles = cut_tiles(network, work.layers, scale.height, scale.width, plan.tile_px)
        if len(tiles) > 1:  # with margins, and two forward passes each
            pixels = round(1.5 * sum(tile.pixels for tile in tiles))
        seconds += (scale.iterations + 2) * pixels * step_s
        if compares_neighbors(config.style_loss):  # the search compares each cell with each of the styles'
            cells = scale.height * scale.width / CELL_PX**2
            style_cells = sum(height * width for height, width in work.styles) * cells / work.pixels
            seconds += cells * style_cells * COMPONENTS * direct_s
    history = plan.lbfgs_history or config.lbfgs_history
    needs = memory_needs(work, plan.tile_px, history, plan.on_disk, plan.precision, plan.winograd_channels)
    return Estimate(seconds, needs.memory_bytes, needs.disk_bytes)


def _pixel_s(work: Workload, plan: Plan, direct_s: float) -> float:
    """Estimate the seconds per pixel of a forward and a backward pass, by those of a multiplication."""
    winograd_s = _time_winograd() / TRIAL_MACS if plan.winograd_channels else direct_s
    total = 0.0
    for layer in work.chain:
        macs = layer.kernel**2 * layer.inputs * layer.outputs / work.network.stride(layer.name) ** 2
        total += 2 * macs * (winograd_s if uses_winograd(layer, plan.winograd_channels) else direct_s)
    return total


def require_device(device: str) -> None:
    """Raise `ConfigError` if this machine lacks a device."""
    if not any(is_present and name == device for name, is_present in _devices().items()):
        raise ConfigError(f"device = {device!r}: this machine has none. Use auto or cpu.")


def _devices() -> dict[Device, bool]:
    """Return the devices, fastest first, and if this machine has them."""
    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}


@cache
def _choose_once(device: str, precision: Precision | None, threads: int) -> tuple[Precision, int | None]:
    """Choose once per process, so that all of its pictures are painted alike."""
    return choose_convolution(device, precision)


@torch.no_grad()
def choose_convolution(device: str, precision: Precision | None = None) -> tuple[Precision, int | None]:
    """Time VGG's most frequent convolution; return precision, and channels from which Winograd pays (None: never).

    CPU flags are ignored: some CPUs advertise bfloat16 and run it slower. Takes about a quarter of a second.
    """
    # CPU time, which other busy processes do not add to. Of 16 processes, eight at a time on two busy cores, all chose
    # alike, and each figure was within 5 %. With wall-clock time figures varied by half, and four chose differently.
    is_fine = time.get_clock_info("process_time").resolution < MAX_TICK_S  # Windows has ticks of 16 ms
    clock = time.process_time if device == "cpu" and is_fine else time.perf_counter
    direct, winograd = dict.fromkeys(DTYPES, math.inf), math.inf
    for _ in range(ROUNDS):  # in turn, so that other processes slow down all of them
        direct = {name: min(direct[name], _time_direct(device, dtype, clock)) for name, dtype in DTYPES.items()}
        # Ours is written for the cache of a CPU; libraries of other devices have their own.
        if device == "cpu":
            winograd = min(winograd, _time_winograd(clock))
    # Layers with few channels are always direct: bfloat16 must be faster there.
    is_faster = direct["bfloat16"] * MIN_SPEEDUP < direct["float32"]
    chosen: Precision = "bfloat16" if is_faster else "float32"
    if precision is not None:
        chosen = precision
    return chosen, WINOGRAD_CHANNELS if winograd * MIN_SPEEDUP < direct[chosen] else None


def _trial(device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return an image and a kernel, in the layout that convolutions are fastest in."""
    shapes = ((1, CHANNELS, SIDE_PX, SIDE_PX), (CHANNELS, CHANNELS, 3, 3))
    image, kernel = (torch.randn(shape, device=device).to(dtype) for shape in shapes)
    return image.contiguous(memory_format=torch.channels_last), kernel.contiguous(memory_format=torch.channels_last)


Clock = Callable[[], float]


def _time_winograd(clock: Clock = time.perf_counter) -> float:
    image, kernel = _trial("cpu", torch.float32)
    return _fastest(Winograd(kernel, None, Workspace()), image, clock)


def _time_direct(device: str, dtype: torch.dtype, clock: Clock = time.perf_counter) -> float:
    image, kernel = _trial(device, dtype)
    try:
        return _fastest(lambda x: F.conv2d(x, kernel, padding=1), image, clock)
    except RuntimeError as error:
        logger.warning("%s cannot convolve in %s, which is not used: %s", device, dtype, error)
        return math.inf


def _fastest(convolve: Callable[[Tensor], Tensor], image: Tensor, clock: Clock) -> float:
    """Return the shorter of two times in seconds: other processes only ever add to it."""
    times = []
    for _ in range(2):
        began = clock()
        # Reading a value waits for the device.
        float(convolve(image)[0, 0, 0, 0])
        times.append(clock() - began)
    return min(times)
