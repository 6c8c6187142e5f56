"""Plans: the device, precision, tiles and threads of a run, chosen once by measuring this machine."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, TypeAdapter

from impasto.config import Plan, RunOptions
from impasto.config.networks import Layer
from impasto.config.style_losses import compares_neighbors
from impasto.config.wrap import wrapped_dims
from impasto.core.cells import CELL_PX, COMPONENTS
from impasto.core.optimize import PRECISE_SHARE
from impasto.core.pyramid import Scale, plan_scales
from impasto.engine.kernels import best_set
from impasto.engine.limits import default_threads, free_memory_bytes
from impasto.engine.memory import MemoryPlan, Workload, memory_needs, plan_memory
from impasto.engine.plan_cache import describe_machine, look_up, recall
from impasto.engine.tiles import cut_tiles
from impasto.engine.timing import TRIAL_MACS, ConvolutionChoice, Precision, choose_convolution, time_convolution
from impasto.engine.winograd import uses_winograd
from impasto.errors import ConfigError

__all__ = ["Estimate", "estimate", "fastest_device", "make_plan", "measured_choice", "planned_needs", "require_device"]

logger = logging.getLogger("impasto")

Device = Literal["cuda", "mps", "cpu"]

SAFE_SHARE = 0.8
"""Share of the free memory that a run may take by default."""

CARD_SHARE = 0.75
"""Share of the memory of a card that tensors fill: it is given out in pieces that do not always fit."""

OVERHEAD = 2.0
"""Time of an evaluation relative to its convolutions: matrix products of moments, ReLU, and pooling."""

DESCENT_MACS = 5e4
"""Time of a step besides its evaluation, in multiplications per pixel: L-BFGS and the filter are bound by memory."""

START_S = 2.5
"""Seconds to load torch, weights and pictures, and to write the picture. Measured like the two figures above on one
machine, at 256 to 2048 px (benchmarks/large.py)."""

TARGET_STEPS, FLOAT32_SLOWDOWN = 2, 2
"""Steps that take as long as measuring the targets of a scale in float32, and the time of a step in float32 by that of
one in bfloat16."""

ROOMY_BYTES = 2e9
"""--memory below which Winograd's kernels, four times as large, are not worth their space."""


def make_plan(options: RunOptions, work: Workload) -> Plan:
    """Choose a plan for this work and machine. Raises `ConfigError`: no such device, or too little memory."""
    device = options.device or fastest_device()
    require_device(device)
    threads = options.threads or default_threads()
    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)  # before timing
    choice = _choose_once(device, options.precision, threads)
    winograd_channels, kernels = choice.winograd_channels, choice.kernels
    budget = options.memory or available_bytes(device)
    if device == "cuda":
        budget *= CARD_SHARE
    if options.memory and budget < ROOMY_BYTES:
        winograd_channels = kernels = None
    memory = plan_memory(work, budget, precision=choice.precision, winograd_channels=winograd_channels)
    plan = Plan(
        device=device,
        precision=choice.precision,
        engine="manual",
        winograd_channels=winograd_channels,
        kernels=kernels,
        tile_px=memory.tile_px,
        join=memory.join,
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
    if plan.kernels:
        convolutions = f"compiled ({plan.kernels})"
    logger.info(
        "Plan: %s, %s, %s convolutions, %d threads (fastest here).",
        plan.device, plan.precision, convolutions, plan.threads,
    )  # fmt: skip
    size = f"{work.width}x{work.height} px"
    joined = f", joined at {plan.join}" if plan.join else ""
    on_disk = ", large tensors on disk" if plan.on_disk else ""
    if plan.tile_px is None:
        logger.info("Plan: %s as a whole: %.1f GB of memory.", size, memory_bytes / 1e9)
    else:
        logger.info(
            "Plan: %s in tiles of %d px%s%s: the whole does not fit %.1f GB of memory.",
            size, plan.tile_px, joined, on_disk, budget / 1e9,
        )  # fmt: skip
    if plan.lbfgs_history is not None and plan.lbfgs_history < work.config.lbfgs_history:
        logger.warning(
            "L-BFGS remembers %d steps instead of %d, to save space. Raise --memory to keep more.",
            plan.lbfgs_history, work.config.lbfgs_history,
        )  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """The expected seconds, memory and disk space of a run; `note` tells what resolution a print will have."""

    seconds: float
    memory_bytes: float
    disk_bytes: float
    note: str = ""


def estimate(work: Workload, plan: Plan) -> Estimate:
    """Estimate the time, memory and disk space of a run, within about a third. Times one or two convolutions."""
    network, config = work.network, work.config
    direct_s = time_convolution(plan.device, ConvolutionChoice(plan.precision, None, None)) / TRIAL_MACS
    layer_s = _seconds_by_layer(work, plan, direct_s)
    slowdown = FLOAT32_SLOWDOWN if plan.precision == "bfloat16" else 1
    seconds = START_S
    for scale in plan_scales(
        work.height,
        work.width,
        iterations=config.iterations,
        scales=config.scales,
        minimum_px=max(map(network.minimum_px, work.layers)),
        multiples=config.side_multiples,
    ):
        in_tiles = _pixels_in_tiles(work, plan, scale)
        pixels = {layer.name: scale.height * scale.width for layer in work.chain}
        pixels |= {layer.name: in_tiles for layer in network.upto(plan.join or work.chain[-1].name)}
        step_s = OVERHEAD * sum(pixels[name] * seconds for name, seconds in layer_s.items())
        steps = scale.iterations * (1 + (slowdown - 1) / PRECISE_SHARE) + TARGET_STEPS * slowdown
        seconds += steps * step_s + scale.iterations * scale.height * scale.width * DESCENT_MACS * direct_s
        if compares_neighbors(config.style_loss):  # the search compares each cell with each of the styles'
            cells = scale.height * scale.width / CELL_PX**2
            style_cells = sum(height * width for height, width in work.styles) * cells / work.pixels
            seconds += cells * style_cells * COMPONENTS * direct_s
    needs = planned_needs(work, plan)
    return Estimate(seconds, needs.memory_bytes, needs.disk_bytes)


def planned_needs(work: Workload, plan: Plan) -> MemoryPlan:
    """Return the memory and disk space that a plan takes."""
    history = plan.lbfgs_history or work.config.lbfgs_history
    kernels = plan.precision, plan.winograd_channels
    return memory_needs(work, plan.tile_px, plan.join, history, plan.on_disk, *kernels)


def _pixels_in_tiles(work: Workload, plan: Plan, scale: Scale) -> int:
    """Return the pixels that layers in tiles take: with margins, and two forward passes each if they are several."""
    layers = work.layers if plan.join is None else [plan.join]
    wrap = wrapped_dims(work.config.wrap)
    tiles = cut_tiles(work.network, layers, scale.height, scale.width, plan.tile_px, wrap)
    return round((1.5 if len(tiles) > 1 else 1) * sum(tile.pixels for tile in tiles))


def _seconds_by_layer(work: Workload, plan: Plan, direct_s: float) -> dict[str, float]:
    """Estimate the seconds per pixel of each layer, forward and back, by those of a multiplication."""
    winograd_s = direct_s
    if plan.winograd_channels:
        choice = ConvolutionChoice(plan.precision, plan.winograd_channels, plan.kernels)
        winograd_s = time_convolution(plan.device, choice) / TRIAL_MACS

    def layer_s(layer: Layer) -> float:
        macs = layer.kernel**2 * layer.inputs * layer.outputs / work.network.stride(layer.name) ** 2
        return 2 * macs * (winograd_s if uses_winograd(layer, plan.winograd_channels) else direct_s)

    return {layer.name: layer_s(layer) for layer in work.chain}


def fastest_device() -> Device:
    """Return the device that runs take by default."""
    return next(name for name, is_present in _devices().items() if is_present)


def require_device(device: str) -> None:
    """Raise `ConfigError` if this machine lacks a device."""
    if not any(is_present and name == device for name, is_present in _devices().items()):
        raise ConfigError(f"device = {device!r}: this machine has none. Use auto or cpu.")


def _devices() -> dict[Device, bool]:
    """Return the devices, fastest first, and if this machine has them."""
    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}


@cache
def _choose_once(device: str, precision: Precision | None, threads: int) -> ConvolutionChoice:
    """Choose once per machine, and once per process, so that all pictures of a batch are painted alike."""
    return recall(lambda: choose_convolution(device, precision), CHOICE, **_choice_key(device, precision, threads))


def measured_choice(device: str, threads: int) -> ConvolutionChoice | None:
    """Return what a run with automatic precision chooses, or None if the first run has yet to measure it."""
    return look_up(CHOICE, **_choice_key(device, None, threads))


def _choice_key(device: str, precision: Precision | None, threads: int) -> dict[str, str | int | None]:
    return describe_machine(device) | {"precision": precision, "threads": threads}


def _require_usable(choice: ConvolutionChoice) -> ConvolutionChoice:
    """Raise `ValueError` for a choice that no timing on this machine makes."""
    channels = choice.winograd_channels
    if (channels is not None and channels < 1) or choice.kernels not in (None, best_set()):
        raise ValueError(f"{choice} is not possible on this machine")
    return choice


CHOICE = TypeAdapter(Annotated[ConvolutionChoice, AfterValidator(_require_usable)])
"""Checks what an earlier run wrote."""
