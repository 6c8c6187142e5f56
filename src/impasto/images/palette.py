"""Palettes: move the colors of a picture to the nearest ones that a painting has.

A painting's colors make a map of all colors: each one is drawn to the mean of the painting's colors near it. The map is
smooth, so skies do not band and neighbors keep their hues. It is applied to an edge-preserving average of the picture,
which keeps the finest light and dark of the strokes as it was painted.

Laws: images are sRGB in [0, 1], (1, 3, H, W), before and after; distances are in Oklab. Work is done on blocks of rows
in a `TensorStore`, and its result does not depend on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.config.wrap import Dims
from impasto.core.image import pad_sides, resize
from impasto.core.tensor_store import TensorStore, clone
from impasto.images.oklab import from_oklab, to_oklab
from impasto.images.row_blocks import BLOCK_PX

__all__ = ["Palette", "PaletteArea", "build_palette", "move_to_palette"]

PALETTE_PIXELS = 1 << 13
"""Pixels that are drawn from each painting."""

GRID = 0.01
"""Distance of two colors of a palette, and of the map's nodes. A third of it is just visible."""

NEAR, FAR_SHARE = 0.01, 0.3
"""Distance within which the painting's colors are averaged, and its growth with the distance to the nearest one: far
from all of them, an average of few would jump between neighbors."""

RADIUS_PX, CONTRAST = 3, 0.005
"""Reach of the average, and the variance of lightness above which an edge is kept (He et al. 2010)."""

MARGIN_PX = 2 * RADIUS_PX
"""The average takes means of means."""

PASSES = 2
"""Times that colors are moved to the mean near them. The second brings most of them to the painting's (mean shift)."""

DISTANCES = 1 << 19
"""Distances between nodes of the map and colors that are computed at a time: some tensors of 4 MB."""

LEAST, SIDE = (0.0, -0.5, -0.5), 128
"""Corner of the grid and its nodes along each axis: it holds every color of sRGB."""

STRIDES = (SIDE**2, SIDE, 1)
"""Distance in memory of two neighboring nodes, along each axis."""


@dataclass(frozen=True)
class Palette:
    """Colors (N, 3) in Oklab, and the number of pixels of each (N,).

    The map of colors is computed where pictures need it, and kept: the moves at its nodes, and the known cells.
    """

    colors: Tensor
    counts: Tensor
    moves: Tensor = field(init=False, repr=False)
    known: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "moves", self.colors.new_zeros(3, SIDE, SIDE, SIDE))
        object.__setattr__(self, "known", self.colors.new_zeros(SIDE**3, dtype=torch.bool))

    def shift(self, colors: Tensor) -> Tensor:
        """Return by how much each color (M, 3) moves."""
        own = colors.to(self.colors.device)
        moves = torch.zeros_like(own)
        for _ in range(PASSES):
            moves = moves + self._shift_once(own + moves)
        return moves.to(colors.device)

    def _shift_once(self, colors: Tensor) -> Tensor:
        """Interpolate a pass between the nodes of a grid."""
        place = ((colors - self._tensor(LEAST)) / GRID).clamp(0, SIDE - 2)
        self._compute((place.long() * self._tensor(STRIDES)).sum(dim=1))
        grid = (place.flip(1) * (2 / (SIDE - 1)) - 1).view(1, 1, 1, -1, 3)
        return F.grid_sample(self.moves[None], grid, align_corners=True)[0, :, 0, 0].T

    def _compute(self, cells: Tensor) -> None:
        """Compute the moves at the corners of cells that are not known yet."""
        missing = torch.unique(cells[~self.known[cells]])
        corners = torch.cartesian_prod(*[torch.arange(2, device=cells.device)] * 3)
        steps = (corners * self._tensor(STRIDES)).sum(dim=1)
        nodes = max(1, DISTANCES // len(self.colors))
        for chunk in torch.split(torch.unique(missing[:, None] + steps), nodes):
            place = torch.stack([chunk // SIDE**2, chunk // SIDE % SIDE, chunk % SIDE], dim=1)
            self.moves.view(3, -1)[:, chunk] = self._shift_exactly(place * GRID + self._tensor(LEAST)).T
        self.known[missing] = True

    def _tensor(self, values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, device=self.colors.device)

    def _shift_exactly(self, colors: Tensor) -> Tensor:
        """Compute a weighted mean of the palette near each color, minus the color.

        In float64, so that the rounded result does not depend on the colors that are computed together.
        """
        colors, palette = colors.double(), self.colors.double()
        squares = torch.cdist(colors, palette).square()
        nearest = squares.amin(dim=1, keepdim=True)
        near = NEAR**2 + FAR_SHARE**2 * nearest
        weights = (self.counts.double().log() - (squares - nearest) / (2 * near)).softmax(dim=1)
        return (weights @ palette - colors).float()


PaletteArea: TypeAlias = tuple[Tensor | None, Palette]
"""Where a palette applies, (1, 1, H, W), None for everywhere; and the palette."""


def build_palette(parts: Sequence[tuple[float, Tensor, Tensor | None]]) -> Palette:
    """Collect the colors of paintings: the share of each, its pixels, and a mask of its part (1, 1, H, W) or None."""
    generator, colors, weights = torch.Generator().manual_seed(0), [], []
    whole = sum(share for share, _, _ in parts)
    for share, pixels, mask in parts:
        if share == 0:
            continue
        rows, columns = _draw(pixels, mask, generator)
        colors.append(to_oklab(pixels[:, :, rows, columns].cpu().float())[0].T)
        weights.append(torch.full((PALETTE_PIXELS,), share / whole))
    palette = _merge(torch.cat(colors), torch.cat(weights))
    device = parts[0][1].device
    if device.type == "mps":  # has no float64
        return palette
    return Palette(palette.colors.to(device), palette.counts.to(device))


def _draw(pixels: Tensor, mask: Tensor | None, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw the rows and columns of pixels, each as often as the mask says, in little memory."""
    height, width = pixels.shape[2:]
    if mask is None:
        rows, columns = (torch.randint(side, (PALETTE_PIXELS,), generator=generator) for side in (height, width))
        return rows, columns
    shown = mask[0, 0]
    drawn = torch.multinomial(shown.sum(dim=1).cpu().double(), PALETTE_PIXELS, replacement=True, generator=generator)
    rows, counts = torch.unique(drawn, return_counts=True)
    by_row = [
        torch.multinomial(shown[row].cpu().double(), count, replacement=True, generator=generator)
        for row, count in zip(rows.tolist(), counts.tolist(), strict=True)
    ]
    return rows.repeat_interleave(counts), torch.cat(by_row)


def _merge(colors: Tensor, weights: Tensor) -> Palette:
    """Merge the colors of each cell of the grid into their mean."""
    _, cells = torch.unique((colors / GRID).floor().long(), dim=0, return_inverse=True)
    colors, weights = colors.double(), weights.double()
    counts = weights.new_zeros(int(cells.max()) + 1).index_add_(0, cells, weights)
    sums = colors.new_zeros(len(counts), 3).index_add_(0, cells, weights[:, None] * colors)
    return Palette((sums / counts[:, None]).float(), counts.float())


def move_to_palette(
    store: TensorStore, image: Tensor, areas: Sequence[PaletteArea], strength: float, wrap: Dims = ()
) -> Tensor:
    """Return the image with its colors moved to the palettes: wholly for a strength of 1, not at all for 0.

    Masks of another size are resized to the image's. Its edges meet along the dimensions `wrap`.
    """
    height, width = image.shape[2:]
    areas = [(mask if mask is None else resize(mask, height, width, wrap), palette) for mask, palette in areas]
    if wrap:
        around = [(mask if mask is None else pad_sides(mask, MARGIN_PX, wrap), palette) for mask, palette in areas]
        moved = move_to_palette(store, pad_sides(image, MARGIN_PX, wrap), around, strength)
        top, left = (MARGIN_PX if dim in wrap else 0 for dim in (2, 3))
        return clone(store, moved[:, :, top : top + height, left : left + width])
    result = store.empty(image.shape, image.dtype)
    step = max(1, BLOCK_PX // width)
    for top in range(0, height, step):
        first, last = max(0, top - MARGIN_PX), min(height, top + step + MARGIN_PX)
        own = slice(top - first, min(height, top + step) - first)
        colors = to_oklab(image[:, :, first:last].float())
        smooth = _smooth(colors)[:, :, own].flatten(2)[0].T.contiguous()
        before = moved = colors[:, :, own]
        for mask, palette in areas:
            area = 1.0 if mask is None else mask[:, :, top : top + step].to(colors)
            moved = moved + strength * area * palette.shift(smooth).T.reshape(before.shape)
        # Protected pixels keep their bits.
        same = (moved == before).all(dim=1, keepdim=True)
        rows = image[:, :, top : top + step]
        result[:, :, top : top + step] = torch.where(same, rows, from_oklab(moved).clamp_(0, 1).to(image.dtype))
        store.release(image, result)
    return result


def _smooth(colors: Tensor) -> Tensor:
    """Average colors over their neighborhood, not across edges of lightness: the guided filter of He et al. 2010."""
    light = colors[:, :1]
    mean_light, means = _mean(light), _mean(colors)
    variance = (_mean(light * light) - mean_light.square()).clamp(min=0)
    slopes = (_mean(light * colors) - mean_light * means) / (variance + CONTRAST)
    return _mean(slopes) * light + _mean(means - slopes * mean_light)


def _mean(image: Tensor) -> Tensor:
    padded = F.pad(image, (RADIUS_PX,) * 4, mode="replicate")
    return F.avg_pool2d(padded, 2 * RADIUS_PX + 1, stride=1)
