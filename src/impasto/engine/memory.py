"""How to stay within an amount of memory: whole or in blocks, long vectors in memory or on disk.

Bytes are counted from the network's shapes, and were held against the resident memory of real runs
(benchmarks/memory.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from impasto.config import ResolvedConfig
from impasto.config.networks import Layer, Network, architecture
from impasto.core.style_losses import find_style_loss
from impasto.engine.tiles import alignment, margin
from impasto.engine.winograd import uses_winograd
from impasto.errors import ConfigError

__all__ = ["MemoryPlan", "Workload", "available_bytes", "disk_bytes", "needs", "plan_memory", "tile_fits"]

SAFE_SHARE = 0.8
"""Of the memory that is free, what a run may take unasked."""

LIBRARIES = 400e6
"""What torch, libvips and Python take before anything is painted."""

VECTOR = 12.0
"""Bytes a pixel of one long vector: three channels of float32."""

VECTORS = 11
"""Long vectors that descent holds besides its history, pictures among them."""

FILTER = 2.0
"""Long vectors in memory while the Fourier filter works, one channel at a time."""

LARGEST_BLOCK, COMFORTABLE_BLOCK, SMALLEST_BLOCK = 2048, 512, 128
DISK_HISTORY = 8
"""Steps that L-BFGS remembers on disk: each costs as much room as two pictures."""


@dataclass(frozen=True)
class Workload:
    """What the memory and time of a run depend on: the target's size, those of the styles, masks, and options."""

    height: int
    width: int
    styles: tuple[tuple[int, int], ...]
    config: ResolvedConfig
    regions: int = 0

    @property
    def pixels(self) -> int:
        """Of the target."""
        return self.height * self.width

    @property
    def layers(self) -> frozenset[str]:
        """Every layer that is measured."""
        return frozenset(name for name, _ in (*self.config.content_layers, *self.config.style_layers))

    @property
    def needs_whole_image(self) -> bool:
        """Whether its style is a function of features, and cannot be measured in blocks."""
        return find_style_loss(self.config.style_loss).needs_features

    @property
    def network(self) -> Network:
        """The network that measures."""
        return architecture(self.config.network)

    @property
    def chain(self) -> tuple[Layer, ...]:
        """The network as deep as it is measured."""
        return self.network.upto(max(self.layers, key=self.network.names.index))


@dataclass(frozen=True)
class MemoryPlan:
    """Blocks of so many pixels a side (0: whole), steps remembered, vectors on disk or not; bytes needed."""

    block: int
    history: int
    scratch: bool
    memory: float
    disk: float


def available_bytes() -> float:
    """Memory that a run may take unasked: a share of what is free, and of what a container allows."""
    free = float(psutil.virtual_memory().available)
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            free = min(free, float(Path(limit).read_text()) - float(Path(used).read_text()))
        except (OSError, ValueError):  # another system, or "max"
            continue
    return SAFE_SHARE * free


def plan_memory(work: Workload, budget: float, *, precision: str, winograd: int) -> MemoryPlan:
    """The fastest arrangement that fits `budget` bytes. Raises `ConfigError` if none does."""
    history = work.config.lbfgs_history
    around = 2 * margin(work.network, work.layers)
    step = alignment(work.network, work.layers)
    per_pixel = _pass_bytes(work, precision)

    def in_blocks(history: int, scratch: bool) -> MemoryPlan | None:
        """The largest block that leaves room for the rest."""
        rest = needs(work, SMALLEST_BLOCK, history, scratch, precision, winograd)
        room = budget - rest.memory + (SMALLEST_BLOCK + around) ** 2 * per_pixel
        side = (int(max(room, 0) / per_pixel) ** 0.5 - around) // step * step
        block = int(min(LARGEST_BLOCK, side))
        fitting = needs(work, max(block, SMALLEST_BLOCK), history, scratch, precision, winograd)
        return fitting if fitting.memory <= budget else None

    whole = needs(work, 0, history, False, precision, winograd)
    if whole.memory <= budget:
        return whole
    if work.needs_whole_image:
        raise ConfigError(
            f"style_loss = {work.config.style_loss!r} looks at whole pictures: {work.width}x{work.height} px need "
            f"{whole.memory / 1e9:.2g} GB of {budget / 1e9:.2g}. Raise --memory, lower --size, or take another."
        )
    in_memory = in_blocks(history, scratch=False)
    if in_memory and in_memory.block >= COMFORTABLE_BLOCK:
        return in_memory
    on_disk = in_blocks(min(history, DISK_HISTORY), scratch=True)
    if on_disk:
        return on_disk
    least = needs(work, SMALLEST_BLOCK, 1, True, precision, winograd).memory
    raise ConfigError(
        f"{work.width}x{work.height} px does not fit {budget / 1e9:.2g} GB of memory: it needs {least / 1e9:.2g} GB. "
        "Raise --memory, or lower --size."
    )


def needs(work: Workload, block: int, history: int, scratch: bool, precision: str, winograd: int) -> MemoryPlan:
    """What an arrangement takes, in memory and on disk."""
    fixed = LIBRARIES + _network_bytes(work, precision, winograd)
    pixels = max(work.pixels, *(height * width for height, width in work.styles))
    if block:
        pixels = min(pixels, (block + 2 * margin(work.network, work.layers)) ** 2)
    measuring = fixed + pixels * _pass_bytes(work, precision)
    long = disk_bytes(work, history)
    if not scratch:
        return MemoryPlan(block, history, False, measuring + long, 0)
    # Between evaluations the room of a block is free for the Fourier filter.
    filtering = fixed + (FILTER if work.config.parametrization == "fourier" else 1) * VECTOR * work.pixels
    return MemoryPlan(block, history, True, max(measuring, filtering), long)


def tile_fits(work: Workload, block: int, budget: float, precision: str, winograd: int) -> bool:
    """Whether a process that does nothing but measure blocks stays within `budget` bytes."""
    around = 2 * margin(work.network, work.layers)
    passing = (block + around) ** 2 * _pass_bytes(work, precision)
    return LIBRARIES + _network_bytes(work, precision, winograd) + passing <= budget


def disk_bytes(work: Workload, history: int) -> float:
    """What the long vectors and the content's features take, wherever they are kept."""
    pairs = 2 * history if work.config.optimizer == "lbfgs" else 0
    content = sum(4.0 * _numbers(work.network, name) for name, _ in work.config.content_layers)
    # One style is among the vectors; more of them, and colors to be put back, come on top.
    styles = [height * width for height, width in work.styles]
    more = sum(styles) - max(styles) + (work.pixels if work.config.color == "luminance" else 0)
    # A region's mask as it was read and as it is used, its guides at every layer, the same of the styles, and the
    # target with the content over it.
    guides = sum(4.0 / work.network.stride(name) ** 2 for name, _ in work.config.style_layers)
    masks = work.regions * (8.0 + guides) * (work.pixels + sum(styles)) + VECTOR * work.pixels if work.regions else 0
    return ((VECTORS + pairs) * VECTOR + content) * work.pixels + VECTOR * more + masks


def _numbers(network: Network, layer: str) -> float:
    """How many numbers a layer has for each pixel of the image."""
    return network.channels(layer) / network.stride(layer) ** 2


def _network_bytes(work: Workload, precision: str, winograd: int) -> float:
    """Weights, and the kernels made of them for both directions."""
    total = 0.0
    used = {layer.name for layer in work.chain}
    for layer in work.network.convolutions:
        weights = 4.0 * layer.kernel**2 * layer.inputs * layer.outputs
        total += weights
        if layer.name in used:
            # F(4x4, 3x3) has 36 numbers for nine; a chain in bfloat16 has one in float32 beside it.
            copies = 2 * (4 if uses_winograd(layer, winograd) else 1)
            total += weights * copies * (2 if precision == "bfloat16" else 1)
    return total + (80e6 if winograd else 0)


def _pass_bytes(work: Workload, precision: str) -> float:
    """Bytes for each pixel of a tile, forward and back."""
    number = 2 if precision == "bfloat16" else 4
    kept = largest = 0.0
    for layer in work.chain:
        here = _numbers(work.network, layer.name)
        largest = max(largest, here)
        if layer.kind == "relu":
            kept += number * here
        elif layer.kind == "pool":
            kept += (number + 8) * here
    if work.needs_whole_image:  # features along directions or matched, their order, and gradients
        kept += sum(24.0 * _numbers(work.network, name) for name, _ in work.config.style_layers)
    # A gradient, the next one, and what a convolution makes for itself.
    return kept + 3 * number * largest + 48
