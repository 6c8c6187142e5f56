"""Timing of the ways to convolve, and the choice of one.

CPU flags are ignored: some CPUs advertise bfloat16 and run it slower.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from impasto.config.networks import VGG19
from impasto.engine import DTYPES
from impasto.engine.kernels import CHANNELS as COMPILED_CHANNELS
from impasto.engine.kernels import best_set
from impasto.engine.operations import choose_operations

__all__ = ["TRIAL_MACS", "ConvolutionChoice", "Precision", "choose_convolution", "time_convolution"]

logger = logging.getLogger("impasto")

Precision = Literal["float32", "bfloat16"]

MIN_SPEEDUP = 1.15
"""Minimum speed-up before switching: the time that bfloat16 saves must exceed that of finishing in float32."""

SIDE_PX = 96
TRIAL = next(layer for layer in VGG19.layers if layer.name == "conv3_2")
TRIAL_MACS = 9.0 * TRIAL.inputs * TRIAL.outputs * SIDE_PX**2
"""The convolution that is timed, VGG's most frequent one, and its multiplications."""

ROUNDS = 4
"""Rounds of timings, of which the fastest counts."""

MAX_TICK_S = 0.001
"""Coarsest clock that can time a convolution of some 3 to 20 ms."""

WINOGRAD_CHANNELS = 128
"""Where Winograd's convolution in PyTorch is faster at 256 channels, it is at 128, and gains nothing at 64."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class ConvolutionChoice:
    """The fastest way to convolve: number format, channels from which Winograd pays, and compiled kernels."""

    precision: Precision
    winograd_channels: int | None
    kernels: str | None


@torch.no_grad()
def choose_convolution(device: str, precision: Precision | None = None) -> ConvolutionChoice:
    """Time one convolution in every way that this machine has, and return the fastest. Takes about a second."""
    # CPU time, which other busy processes do not add to. Of 16 processes, eight at a time on two busy cores, all chose
    # alike, and each figure was within 5 %. With wall-clock time figures varied by half, and four chose differently.
    is_fine = time.get_clock_info("process_time").resolution < MAX_TICK_S  # Windows has ticks of 16 ms
    clock = time.process_time if device == "cpu" and is_fine else time.perf_counter
    # The kernels are written for the cache of a CPU; libraries of other devices have their own.
    kernels = best_set() if device == "cpu" else None
    names: tuple[Precision, ...] = get_args(Precision)
    direct, compiled, winograd = dict.fromkeys(names, math.inf), dict.fromkeys(names, math.inf), math.inf
    for _ in range(ROUNDS):  # in turn, so that other processes slow down all of them
        for name in names:
            direct[name] = min(direct[name], time_convolution(device, ConvolutionChoice(name, None, None), clock))
            if kernels is not None:
                choice = ConvolutionChoice(name, COMPILED_CHANNELS, kernels)
                compiled[name] = min(compiled[name], time_convolution(device, choice, clock))
        if device == "cpu":
            winograd = min(winograd, time_convolution(device, ConvolutionChoice("float32", 1, None), clock))
    # Without kernels, layers with few channels are direct in any case: bfloat16 must be faster there.
    fastest = {name: min(direct[name], compiled[name]) for name in names}
    is_faster = fastest["bfloat16"] * MIN_SPEEDUP < fastest["float32"]
    chosen: Precision = precision or ("bfloat16" if is_faster else "float32")
    if compiled[chosen] * MIN_SPEEDUP < min(direct[chosen], winograd):
        return ConvolutionChoice(chosen, COMPILED_CHANNELS, kernels)
    return ConvolutionChoice(chosen, WINOGRAD_CHANNELS if winograd * MIN_SPEEDUP < direct[chosen] else None, None)


def time_convolution(device: str, choice: ConvolutionChoice, clock: Clock = time.perf_counter) -> float:
    """Return the seconds of one convolution; infinity if the device cannot compute it in this format."""
    dtype = DTYPES[choice.precision]
    operations = choose_operations(dtype, choice.winograd_channels, choice.kernels)
    kernel = torch.randn(TRIAL.outputs, TRIAL.inputs, 3, 3, device=device)
    image = torch.randn(1, TRIAL.inputs, SIDE_PX, SIDE_PX, device=device).to(dtype)
    image = image.contiguous(memory_format=torch.channels_last)
    try:
        return _fastest(operations.convolution(TRIAL, kernel, None), image, clock)
    except RuntimeError as error:
        logger.warning("%s cannot convolve in %s, which is not used: %s", device, choice.precision, error)
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
