"""Panoramas: a sphere of 360° x 180° is painted as three nearly undistorted charts, laid out in one image.

An equirectangular picture is stretched near the poles: a network sees other shapes there, and paints streaks. The
target of a panorama is therefore an atlas of conformal charts, in which shapes and strokes look the same everywhere:

    +----------------------+   the band around the equator, in Mercator's projection; its left and right margins
    |         band         |   continue on the other side
    +-----------+----------+
    | north cap | south cap|   the caps around the poles, in stereographic projection
    +-----------+----------+

The scale is that of the picture's equator at the equator and at the poles, and 1.25 times as large where band and caps
meet. Each direction belongs to one chart, or to two where these meet. What lies beyond a chart's own part is its
margin: the network sees there what the neighboring chart has (see `atlas_margins`), so strokes continue
across the borders.

Laws: an atlas of any size is the same layout, scaled; positions in it are in pixels of its full size, from its corner.
Lengths without a unit are in radii of the sphere. Angles are in radians, and latitude is positive toward the north, at
the top of the picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Panorama", "iter_pixels"]

BORDER = math.atan(3 / 4)
"""Latitude at which band and caps meet: there Mercator and stereographic projection enlarge equally, 1.25 times."""

BAND_HALF, CAP_RADIUS = math.asinh(math.tan(BORDER)), 2 * math.tan((math.pi / 2 - BORDER) / 2)
"""Half the height of the band, ln 2, and the radius of a cap, 1."""

MAX_BAND = 1.5
"""Latitude beyond which Mercator's projection is not computed: it has no end."""

MARGIN_SHARE = 1 / 32
"""Width of the margins, relative to the picture: 11°, so 16 px at 512 px."""

BLEND_SHARE = 1 / 4
"""Half the width in which two charts share directions, relative to the margin. A hard border shows as a thin line: a
lookup between pixels is softer than a pixel."""

FADE_SHARE = 1 / 2
"""Half the width in which charts fade into each other where they touch in the atlas, relative to the margin. The
network paints along hard edges, and what it paints in a margin shows as a line elsewhere."""

BLOCK_PX = 1 << 18
"""Pixels resampled at a time."""


Weighted = list[tuple[Tensor, Tensor, Tensor]]
"""Pairs of coordinates, each with its share; the shares sum to one."""


@dataclass(frozen=True)
class Panorama:
    """The layout of an equirectangular picture of this size, (height, width), and of its atlas."""

    height: int
    width: int

    @property
    def radius_px(self) -> float:
        """Pixels to the radian."""
        return self.width / math.tau

    @property
    def margin_px(self) -> int:
        """Width of the margins."""
        return max(2, round(self.width * MARGIN_SHARE))

    @property
    def band_px(self) -> int:
        """Height of the band with its margins."""
        return round(2 * BAND_HALF * self.radius_px) + 2 * self.margin_px

    @property
    def atlas_size(self) -> tuple[int, int]:
        """The size of the atlas, (height, width)."""
        caps_px = round(2 * CAP_RADIUS * self.radius_px) + 2 * self.margin_px
        return self.band_px + caps_px, self.width + 2 * self.margin_px

    def to_atlas(self, picture: Tensor) -> Tensor:
        """Resample an equirectangular image (1, C, h, w) of any size to the atlas, (1, C, *atlas_size)."""
        height, width = picture.shape[2:]
        padded = _pad_sphere(_smooth_rows(picture), PAD_PX)
        atlas = picture.new_zeros((1, picture.shape[1], *self.atlas_size))
        for rows, x, y in iter_pixels(*self.atlas_size, picture.device):
            for longitude, latitude, share in self.directions(x, y):
                column, row = (longitude / math.tau + 0.5) * width, (0.5 - latitude / math.pi) * height
                atlas[:, :, rows] += _sample(padded, column + PAD_PX, row + PAD_PX) * share
        return atlas

    def to_picture(self, atlas: Tensor) -> Tensor:
        """Resample an atlas (1, C, *atlas_size) to the equirectangular picture, (1, C, height, width)."""
        picture = atlas.new_zeros((1, atlas.shape[1], self.height, self.width))
        for rows, x, y in iter_pixels(self.height, self.width, atlas.device):
            longitude, latitude = (x / self.width - 0.5) * math.tau, (0.5 - y / self.height) * math.pi
            for column, row, share in self.positions(longitude, latitude):
                picture[:, :, rows] += _sample(atlas, column, row) * share
        return picture

    def directions(self, x: Tensor, y: Tensor) -> Weighted:
        """Return longitude and latitude at positions in the atlas, by chart: charts fade into each other."""
        (full_height, full_width), fade = self.atlas_size, 2 * FADE_SHARE * self.margin_px
        in_band, in_north = ((side / fade + 0.5).clamp(0, 1) for side in (self.band_px - y, full_width / 2 - x))
        middle = (self.band_px + full_height) / 2
        around = (x - full_width / 2) / self.radius_px
        band_latitude = torch.atan(torch.sinh((self.band_px / 2 - y) / self.radius_px))
        charts = [(torch.remainder(around + math.pi, math.tau) - math.pi, band_latitude, in_band)]
        for center, sign, share in ((full_width / 4, 1, in_north), (full_width * 3 / 4, -1, 1 - in_north)):
            right, away = (x - center) / self.radius_px, sign * (y - middle) / self.radius_px
            latitude = sign * (math.pi / 2 - 2 * torch.atan(torch.hypot(right, away) / 2))
            charts.append((torch.atan2(right, away), latitude, share * (1 - in_band)))
        return charts

    def positions(self, longitude: Tensor, latitude: Tensor, min_blend_px: float = 0.0) -> Weighted:
        """Return where the atlas has directions: in the band, at its other end, and in a cap."""
        full_height, full_width = self.atlas_size
        blend = 2 * max(BLEND_SHARE * self.margin_px, min_blend_px) / self.radius_px
        up = torch.asinh(torch.tan(latitude.clamp(-MAX_BAND, MAX_BAND)))
        in_band = ((BAND_HALF - up.abs()) / blend + 0.5).clamp(0, 1)
        here = ((math.pi - longitude.abs()) / blend + 0.5).clamp(0, 1)
        band_x, band_y = full_width / 2 + longitude * self.radius_px, self.band_px / 2 - up * self.radius_px
        other_x = band_x - torch.where(longitude > 0, 1.0, -1.0) * self.width
        distance = 2 * torch.tan((math.pi / 2 - latitude.abs()) / 2) * self.radius_px
        is_north = latitude > 0
        cap_x = torch.where(is_north, full_width / 4, full_width * 3 / 4) + distance * torch.sin(longitude)
        away = distance * torch.cos(longitude)
        cap_y = (self.band_px + full_height) / 2 + torch.where(is_north, away, -away)
        return [
            (band_x, band_y, in_band * here),
            (other_x, band_y, in_band * (1 - here)),
            (cap_x, cap_y, 1 - in_band),
        ]


def iter_pixels(
    height: int, width: int, device: torch.device, dtype: torch.dtype = torch.float32
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield rows of an image with the centers of their pixels, x and y, in pixels from its corner."""
    x = torch.arange(width, device=device, dtype=dtype) + 0.5
    step = max(1, BLOCK_PX // width)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        y = torch.arange(top, bottom, device=device, dtype=dtype) + 0.5
        columns, lines = torch.meshgrid(x, y, indexing="xy")
        yield slice(top, bottom), columns, lines


PAD_PX = 3
"""Pixels that a picture is continued by for lookups at its edges."""


def _pad_sphere(picture: Tensor, count: int) -> Tensor:
    """Continue an equirectangular image beyond its edges: around the sphere, and over the poles."""
    half = picture.shape[3] // 2
    over_north = picture[:, :, :count].flip(2).roll(half, dims=3)
    over_south = picture[:, :, -count:].flip(2).roll(half, dims=3)
    tall = torch.cat([over_north, picture, over_south], dim=2)
    return torch.cat([tall[..., -count:], tall, tall[..., :count]], dim=3)


def _smooth_rows(picture: Tensor) -> Tensor:
    """Smooth each row as far as it is stretched, so that lookups between its pixels miss none.

    At latitude φ a pixel is cos φ as wide on the sphere as at the equator.
    """
    height, width = picture.shape[2:]
    latitude = (0.5 - (torch.arange(height, device=picture.device) + 0.5) / height) * math.pi
    sigma = 0.5 * (latitude.cos() ** -2 - 1).sqrt()  # 0 at the equator
    frequency = torch.arange(width // 2 + 1, device=picture.device) * (math.tau / width)
    smooth = torch.empty_like(picture)
    step = max(1, BLOCK_PX // width)
    for top in range(0, height, step):
        gain = torch.exp(-0.5 * (sigma[top : top + step, None] * frequency).square())
        spectrum = torch.fft.rfft(picture[:, :, top : top + step]) * gain
        smooth[:, :, top : top + step] = torch.fft.irfft(spectrum, n=width)
    return smooth.clamp_(0, 1)


def _sample(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Look up an image (1, C, H, W) at positions in pixels from its corner: bicubic, clamped to [0, 1]."""
    height, width = image.shape[2:]
    grid = torch.stack([x * (2 / width) - 1, y * (2 / height) - 1], dim=-1)[None]
    return F.grid_sample(image, grid, mode="bicubic", padding_mode="border", align_corners=False).clamp_(0, 1)
