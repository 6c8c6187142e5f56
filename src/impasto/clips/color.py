"""Colors of video: Y'CbCr to RGB and back, and wide or high dynamic range to sRGB. Codes are those of ITU-T H.273.

As players do, SDR with the primaries of BT.601 or BT.709 is taken as sRGB as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from impasto.images.srgb import from_linear, to_linear

__all__ = ["SRGB_TAGS", "ColorTags", "rgb_to_ycbcr", "subsample", "to_srgb", "upsample", "ycbcr_to_rgb"]

RGB, BT709, UNSPECIFIED, BT601, BT2020 = 0, 1, 2, 6, 9
PQ, HLG = 16, 18
P3 = 12

LUMA_WEIGHTS = {
    BT709: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    BT601: (0.299, 0.114),
    7: (0.212, 0.087),
    BT2020: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
"""The weights of red and blue in luma, by matrix."""

TO_BT709 = {
    BT2020: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    P3: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}
"""Linear RGB of wide primaries to that of BT.709."""

MIN_HD_HEIGHT = 720

WHITE_NITS, PEAK_NITS = 203.0, 1000.0
"""Luminance of white in HDR (ITU-R BT.2408), and of the brightest highlight that is kept."""

KNEE = 0.6
"""Linear light above which highlights of HDR are compressed."""


@dataclass(frozen=True)
class ColorTags:
    """The coding of a clip's colors."""

    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED
    is_full_range: bool = False

    @property
    def is_hdr(self) -> bool:
        """Return True for PQ and HLG."""
        return self.transfer in (PQ, HLG)

    @property
    def is_srgb_like(self) -> bool:
        """Return True if RGB is taken as sRGB as it is."""
        return not self.is_hdr and self.primaries not in TO_BT709

    def resolve(self, height: int) -> ColorTags:
        """Fill in the matrix where it is unspecified: BT.709 for HD, otherwise BT.601."""
        if self.matrix in LUMA_WEIGHTS or self.matrix == RGB:
            return self
        return replace(self, matrix=BT709 if height >= MIN_HD_HEIGHT else BT601)

    def for_output(self, height: int) -> ColorTags:
        """Return the tags to write pixels with that `to_srgb` converted from these."""
        resolved = self.resolve(height)
        return resolved if self.is_srgb_like and resolved.matrix != RGB else SRGB_TAGS


SRGB_TAGS = ColorTags(BT709, BT709, BT709)


def ycbcr_to_rgb(y: Tensor, cb: Tensor, cr: Tensor, tags: ColorTags, bits: int) -> Tensor:
    """Convert integer levels of one size, (H, W), to RGB (1, 3, H, W), unclamped."""
    black, span, middle, chroma_span = _levels(tags, bits)
    red, blue = LUMA_WEIGHTS[tags.matrix]
    luma = (y.float() - black) / span
    r = luma + (cr.float() - middle) * (2 * (1 - red) / chroma_span)
    b = luma + (cb.float() - middle) * (2 * (1 - blue) / chroma_span)
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return torch.stack([r, g, b]).unsqueeze(0)


def rgb_to_ycbcr(pixels: Tensor, tags: ColorTags, bits: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    """Convert RGB (1, 3, H, W) to levels (H, W), not yet rounded."""
    black, span, middle, chroma_span = _levels(tags, bits)
    red, blue = LUMA_WEIGHTS[tags.matrix]
    r, g, b = pixels[0]
    luma = red * r + (1 - red - blue) * g + blue * b
    cb = (b - luma) * (chroma_span / (2 * (1 - blue))) + middle
    cr = (r - luma) * (chroma_span / (2 * (1 - red))) + middle
    return luma * span + black, cb, cr


def _levels(tags: ColorTags, bits: int) -> tuple[float, float, float, float]:
    """Return the level of black, the span of luma, the middle of chroma and its span."""
    scale = 2.0 ** (bits - 8)
    if tags.is_full_range:
        return 0.0, 2.0**bits - 1, 128 * scale, 2.0**bits - 1
    return 16 * scale, 219 * scale, 128 * scale, 224 * scale


def upsample(plane: Tensor, height: int, width: int, rows: int, columns: int) -> Tensor:
    """Enlarge chroma by whole factors, linearly. Samples are at the left of their columns and amid their rows."""
    plane = plane.float()
    if rows > 1:
        plane = _interpolate(plane, (torch.arange(height) + 0.5) / rows - 0.5)
    if columns > 1:
        plane = _interpolate(plane.T, torch.arange(width) / columns).T
    return plane


def _interpolate(plane: Tensor, positions: Tensor) -> Tensor:
    positions = positions.clamp(0, plane.shape[0] - 1)
    below = positions.floor().long()
    above = (below + 1).clamp(max=plane.shape[0] - 1)
    return torch.lerp(plane[below], plane[above], (positions - below).unsqueeze(1))


def subsample(plane: Tensor) -> Tensor:
    """Halve chroma (H, W) to where `upsample` expects it. Odd sides are rounded up."""
    height, width = plane.shape
    rows = torch.cat([plane, plane[-1:]]) if height % 2 else plane
    halved = (rows[0::2] + rows[1::2]) / 2
    wide = torch.cat([halved[:, :1], halved, halved[:, -1:]], dim=1)
    return (wide[:, 0:width:2] + 2 * wide[:, 1 : width + 1 : 2] + wide[:, 2 : width + 2 : 2]) / 4


def to_srgb(pixels: Tensor, tags: ColorTags) -> Tensor:
    """Convert decoded RGB to sRGB in [0, 1]: HDR is tone mapped, wide primaries are clipped to those of sRGB."""
    if tags.is_srgb_like:
        return pixels.clamp_(0, 1)
    linear = _to_linear(pixels.clamp(0, 1), tags)
    if tags.primaries in TO_BT709 or tags.is_hdr:
        matrix = torch.tensor(TO_BT709.get(tags.primaries, TO_BT709[BT2020]))
        linear = torch.einsum("ij,bjhw->bihw", matrix, linear).clamp(min=0)
    if tags.is_hdr:
        linear = _tone_map(linear)
    return from_linear(linear.clamp(0, 1))


def _to_linear(pixels: Tensor, tags: ColorTags) -> Tensor:
    """Return linear light. 1 is white, and highlights of HDR are above it."""
    if tags.transfer == PQ:
        power = pixels ** (1 / 78.84375)
        share = (power - 0.8359375).clamp(min=0) / (18.8515625 - 18.6875 * power)
        return 10000 / WHITE_NITS * share ** (1 / 0.1593017578125)
    if tags.transfer == HLG:
        scene = torch.where(
            pixels <= 0.5, pixels**2 / 3, (((pixels - 0.55991073) / 0.17883277).exp() + 0.28466892) / 12
        )
        luminance = torch.einsum("c,bchw->bhw", torch.tensor([0.2627, 0.6780, 0.0593]), scene).unsqueeze(1)
        return PEAK_NITS / WHITE_NITS * luminance.clamp(min=1e-6) ** 0.2 * scene
    return to_linear(pixels)


def _tone_map(linear: Tensor) -> Tensor:
    """Compress highlights above `KNEE`, by the largest channel, which keeps hues."""
    largest = linear.amax(dim=1, keepdim=True).clamp(min=KNEE)
    above = (largest - KNEE) / (1 - KNEE)
    peak = (PEAK_NITS / WHITE_NITS - KNEE) / (1 - KNEE)
    mapped = KNEE + (1 - KNEE) * above * (1 + above / peak**2) / (1 + above)
    return linear * (mapped / largest)
