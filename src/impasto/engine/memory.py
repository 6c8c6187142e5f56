"""Memory planning: whole images or tiles, large tensors in memory or on disk.

Bytes are computed from the network's shapes, and were compared with the resident memory of real runs
(benchmarks/memory.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from impasto.config import ResolvedConfig
from impasto.config.networks import Layer, Network, architecture
from impasto.config.style_losses import compares_neighbors
from impasto.core.cells import CELL_PX, COMPONENTS
from impasto.core.style_losses import needs_features
from impasto.engine.joining import joined_bytes, pass_bytes, poolings, precise_join, rest_bytes, values_per_pixel
from impasto.engine.tiles import alignment_px, largest_tile_pixels, margin_px, precise_tile_px
from impasto.engine.winograd import uses_winograd
from impasto.errors import ConfigError

__all__ = ["MIN_TILE_PX", "MemoryPlan", "Workload", "memory_needs", "plan_memory", "tile_fits", "vector_bytes"]

LIBRARIES_BYTES = 480e6
"""Memory of torch, libvips and Python, and what their allocators keep beside the tensors that are counted."""

PIXEL_BYTES = 12.0
"""Bytes per pixel of one large tensor: three channels of float32."""

VECTORS = 11
"""Large tensors that descent needs besides the history of L-BFGS, images among them."""

FILTER_VECTORS = 2.0
"""Large tensors in memory while the Fourier filter works on one channel at a time."""

PANORAMA_BYTES = 64.0
"""Bytes per pixel of a panorama: where its margins are looked up, and an image with them."""

VALUE_BYTES = {"bfloat16": 2, "float32": 4}
"""By the names of `Plan.precision`."""

IMAGE_BYTES = 48.0
"""Bytes per pixel of a tile's own images: as cut, normalized, and their gradients."""

MAX_TILE_PX, COMFORTABLE_TILE_PX, MIN_TILE_PX = 2048, 512, 128
"""Smaller tiles than the comfortable ones are slow, because margins take most of their pixels."""

SHORT_HISTORY = 8
"""Steps that L-BFGS remembers where it is short of space: each takes as much as two images. The loss after 60 steps is
.9 % higher than with 20."""


@dataclass(frozen=True)
class Workload:
    """Sizes and options that memory and time depend on: of the target, the styles (height, width), and masks."""

    height: int
    width: int
    styles: tuple[tuple[int, int], ...]
    config: ResolvedConfig
    regions: int = 0

    @property
    def pixels(self) -> int:
        """The pixels of the target."""
        return self.height * self.width

    @property
    def layers(self) -> frozenset[str]:
        """The layers to measure."""
        return frozenset(name for name, _ in (*self.config.content_layers, *self.config.style_layers))

    @property
    def needs_whole_image(self) -> bool:
        """True if the style loss cannot be measured in tiles."""
        return needs_features(self.config.style_loss)

    @property
    def network(self) -> Network:
        """The network that measures."""
        return architecture(self.config.network)

    @property
    def chain(self) -> tuple[Layer, ...]:
        """The network down to its deepest measured layer."""
        return self.network.upto(self.network.deepest(self.layers))


@dataclass(frozen=True)
class MemoryPlan:
    """A way to fit into memory, and the bytes that it needs.

    `tile_px` is None for whole images. Tiles are joined at the pooling `join`; None: they are not.
    """

    tile_px: int | None
    join: str | None
    lbfgs_history: int
    on_disk: bool
    memory_bytes: float
    disk_bytes: float


def plan_memory(work: Workload, budget: float, *, precision: str, winograd_channels: int | None) -> MemoryPlan:
    """Return the fastest plan that fits `budget` bytes. Raises `ConfigError` if none does."""
    kernels, joins = (precision, winograd_channels), [*poolings(work.network, work.layers), None]
    histories = sorted({work.config.lbfgs_history, min(work.config.lbfgs_history, SHORT_HISTORY)}, reverse=True)
    for history in histories:
        whole = memory_needs(work, None, None, history, False, *kernels)
        if whole.memory_bytes <= budget:
            return whole
    if work.needs_whole_image:
        raise ConfigError(
            f"style_loss = {work.config.style_loss!r} needs whole images: {work.width}x{work.height} px take "
            f"{_gb(whole.memory_bytes)} GB of {_gb(budget)}. Raise --memory, lower --size, or use another."
        )
    for history, on_disk in (*((history, False) for history in histories), (histories[-1], True)):
        for join in joins:
            least = memory_needs(work, COMFORTABLE_TILE_PX, join, history, on_disk, *kernels).memory_bytes
            if least <= budget and (tiles := _largest_tiles(work, budget, join, history, on_disk, *kernels)):
                return tiles
    if small := _largest_tiles(work, budget, None, histories[-1], True, *kernels):
        return small
    least = memory_needs(work, MIN_TILE_PX, None, 1, True, *kernels).memory_bytes
    raise ConfigError(
        f"{work.width}x{work.height} px does not fit {_gb(budget)} GB of memory: it needs {_gb(least)} GB. "
        "Raise --memory, or lower --size or --dpi."
    )


def _gb(size: float) -> str:
    """Format bytes as gigabytes, with two digits at least."""
    return f"{size / 1e9:.0f}" if size >= 1e10 else f"{size / 1e9:.2g}"


def _largest_tiles(
    work: Workload,
    budget: float,
    join: str | None,
    history: int,
    on_disk: bool,
    precision: str,
    winograd_channels: int | None,
) -> MemoryPlan | None:
    """Return the plan with the largest tiles that fit; None if the smallest do not."""
    margins = 2 * margin_px(work.network, work.layers)
    step = alignment_px(work.network, work.layers)
    pixel_bytes = _pass_bytes(work, precision)
    smallest = memory_needs(work, MIN_TILE_PX, None, history, on_disk, precision, winograd_channels)
    room = budget - smallest.memory_bytes + (MIN_TILE_PX + margins) ** 2 * pixel_bytes
    side = (int(max(room, 0) / pixel_bytes) ** 0.5 - margins) // step * step
    # Smaller where the last steps in float32 need more than that.
    for tile_px in range(max(int(min(MAX_TILE_PX, side)), MIN_TILE_PX), MIN_TILE_PX - 1, -step):
        plan = memory_needs(work, tile_px, join, history, on_disk, precision, winograd_channels)
        if plan.memory_bytes <= budget:
            return plan
    return None


def memory_needs(
    work: Workload,
    tile_px: int | None,
    join: str | None,
    history: int,
    on_disk: bool,
    precision: str,
    winograd_channels: int | None,
) -> MemoryPlan:
    """Compute the memory and disk space of a way to run."""
    fixed = LIBRARIES_BYTES + _network_bytes(work, precision, winograd_channels)
    fixed += PANORAMA_BYTES * work.pixels if work.config.panorama else 0
    measuring = fixed + _measuring_bytes(work, tile_px, join, precision)
    vectors = vector_bytes(work, history)
    if not on_disk:
        return MemoryPlan(tile_px, join, history, False, measuring + vectors, 0)
    # Between evaluations the Fourier filter may use the memory of a tile.
    filter_vectors = FILTER_VECTORS if work.config.parametrization == "fourier" else 1
    filtering = fixed + filter_vectors * PIXEL_BYTES * work.pixels
    return MemoryPlan(tile_px, join, history, True, max(measuring, filtering, fixed + _matching_bytes(work)), vectors)


def _measuring_bytes(work: Workload, tile_px: int | None, join: str | None, precision: str) -> float:
    """Compute the bytes of a forward and a backward pass of the largest tile or of what follows, in either precision.

    An image of one tile, such as that of a coarse scale, is measured as a whole.
    """
    pixels = max(work.pixels, *(height * width for height, width in work.styles))
    if tile_px is not None:
        tile = (tile_px + 2 * margin_px(work.network, work.layers)) ** 2
        # Where edges meet, the margins of a tile may be larger than the picture.
        pixels = min(pixels, tile) if work.config.wrap == "none" else tile
    measuring = _with_rest(work, pixels * _pass_bytes(work, precision), join, precision)
    if precision == "float32" or work.needs_whole_image:
        return measuring
    image = work.network, work.layers, work.height, work.width
    precise = largest_tile_pixels(*image, precise_tile_px(*image, tile_px)) * _pass_bytes(work, "float32")
    if join is not None:
        precise = _with_rest(work, precise, precise_join(work.network, work.layers, join), "float32")
    return max(measuring, precise)


def _with_rest(work: Workload, tile_bytes: float, join: str | None, precision: str) -> float:
    """Compute the bytes of a tile beside the joined features, or of the rest of the network."""
    if join is None:
        return tile_bytes
    joined = joined_bytes(work.network, join, VALUE_BYTES[precision])
    rest = rest_bytes(work.network, work.layers, join, VALUE_BYTES[precision])
    return max(tile_bytes + work.pixels * joined, work.pixels * rest)


def tile_fits(work: Workload, tile_px: int, budget: float, precision: str, winograd_channels: int | None) -> bool:
    """Return True if a process that only measures tiles stays within `budget` bytes."""
    margins = 2 * margin_px(work.network, work.layers)
    measuring = (tile_px + margins) ** 2 * _pass_bytes(work, precision)
    return LIBRARIES_BYTES + _network_bytes(work, precision, winograd_channels) + measuring <= budget


def vector_bytes(work: Workload, history: int) -> float:
    """Compute the bytes of the large tensors and the content's features, in memory or on disk."""
    pairs = 2 * history if work.config.optimizer == "lbfgs" else 0
    content = sum(4.0 * values_per_pixel(work.network, name) for name, _ in work.config.content_layers)
    # VECTORS includes one style. Other styles add to it, and so do colors that are changed before or at the end.
    styles = [height * width for height, width in work.styles]
    changes = (work.config.color == "luminance", work.config.palette_strength > 0, work.config.recolor_content)
    extra = sum(styles) - max(styles) + sum(changes) * work.pixels
    # A region's mask as loaded and as used, the masks of its layers, the same for the styles, and the protected image.
    layer_masks = sum(4.0 / work.network.stride(name) ** 2 for name, _ in work.config.style_layers)
    masks = work.regions * (8.0 + layer_masks) * (work.pixels + sum(styles))
    masks += PIXEL_BYTES * work.pixels if work.regions else 0
    return (
        ((VECTORS + pairs) * PIXEL_BYTES + content) * work.pixels + PIXEL_BYTES * extra + masks + _neighbor_bytes(work)
    )


def _neighbor_bytes(work: Workload) -> float:
    """Compute the bytes of neighbors: the features of the styles, and the targets put together from them.

    Before the targets are allocated, the features of the content, or of the target, are in their place.
    """
    if not compares_neighbors(work.config.style_loss):
        return 0.0
    features = sum(4.0 * values_per_pixel(work.network, name) for name, _ in work.config.style_layers)
    return features * (work.pixels + sum(height * width for height, width in work.styles))


def _matching_bytes(work: Workload) -> float:
    """Compute the bytes of the search for neighbors, which are in memory: the descriptions of cells, twice."""
    if not compares_neighbors(work.config.style_loss):
        return 0.0
    cells = (work.pixels + sum(height * width for height, width in work.styles)) / CELL_PX**2
    return 2 * 4.0 * COMPONENTS * cells


def _network_bytes(work: Workload, precision: str, winograd_channels: int | None) -> float:
    """Compute the bytes of the weights, and of the kernels made from them for both directions."""
    total = 0.0
    used = {layer.name for layer in work.chain}
    for layer in work.network.convolutions:
        weights = 4.0 * layer.kernel**2 * layer.inputs * layer.outputs
        total += weights
        if layer.name in used:
            # F(4x4, 3x3) has 36 values for nine; a chain in bfloat16 comes with one in float32.
            copies = 2 * (4 if uses_winograd(layer, winograd_channels) else 1)
            total += weights * copies * (2 if precision == "bfloat16" else 1)
    return total + (80e6 if winograd_channels is not None else 0)


def _pass_bytes(work: Workload, precision: str) -> float:
    """Compute the bytes per pixel of a tile, for a forward and a backward pass."""
    total = pass_bytes(work.network, work.chain, VALUE_BYTES[precision]) + IMAGE_BYTES
    if work.needs_whole_image:  # projected or matched features, their order, and gradients
        total += sum(24.0 * values_per_pixel(work.network, name) for name, _ in work.config.style_layers)
    return total
