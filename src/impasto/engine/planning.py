"""What `auto` comes to on this machine: chosen once, by measurement, and kept in a `Plan`."""

from __future__ import annotations

import statistics
import time
from typing import Literal

import torch
import torch.nn.functional as F

from impasto.config import Plan, RunOptions
from impasto.errors import ConfigError

__all__ = ["faster_precision", "make_plan", "require_device"]

WORTHWHILE = 1.15
"""bfloat16 must be this much faster: what it saves must outweigh finishing in float32."""


def make_plan(run: RunOptions) -> Plan:
    """A plan for this machine. Raises `ConfigError` for a device that is not there."""
    chosen = next(name for name, is_there in _devices().items() if is_there)
    device = chosen if run.device == "auto" else run.device
    require_device(device)
    if run.threads:
        torch.set_num_threads(run.threads)  # before timing
    return Plan(
        device=device,
        precision=faster_precision(device) if run.precision == "auto" else run.precision,
        evaluator="chained",
        threads=torch.get_num_threads(),
        torch=torch.__version__,
    )


def require_device(device: str) -> None:
    """Raise `ConfigError` for a device that is not on this machine."""
    if not any(is_there and name == device for name, is_there in _devices().items()):
        raise ConfigError(f"device = {device!r}: there is none on this machine. Use auto or cpu.")


def _devices() -> dict[Literal["cuda", "mps", "cpu"], bool]:
    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}


@torch.no_grad()
def faster_precision(device: str) -> Literal["float32", "bfloat16"]:
    """Time the convolution that VGG spends most of its time on, in both, for a few tens of milliseconds.

    A processor may claim bfloat16 and still be slower with it, so what it claims is not asked.
    """
    image = torch.randn(1, 256, 64, 64, device=device)
    kernel = torch.randn(256, 256, 3, 3, device=device)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        x, w = (t.to(dtype).contiguous(memory_format=torch.channels_last) for t in (image, kernel))
        try:
            seconds[dtype] = statistics.median(_timed(x, w) for _ in range(5))
        except RuntimeError:  # a device without it
            seconds[dtype] = float("inf")
    return "bfloat16" if seconds[torch.bfloat16] * WORTHWHILE < seconds[torch.float32] else "float32"


def _timed(x: torch.Tensor, w: torch.Tensor) -> float:
    began = time.perf_counter()
    # Reading a number waits for the device to be done.
    float(F.conv2d(x, w, padding=1)[0, 0, 0, 0])
    return time.perf_counter() - began
