"""Decoded frames -> upright tensors with square pixels, in sRGB."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.clips.color import LUMA_WEIGHTS, ColorTags, to_srgb, upsample, ycbcr_to_rgb

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

__all__ = ["FrameLayout", "decode_frame"]

PLANAR = {"nv12": "yuv420p", "nv21": "yuv420p", "nv16": "yuv422p", "yuyv422": "yuv422p", "uyvy422": "yuv422p"}
"""Packed formats, and planar ones with the same samples."""

FULL_RANGE = 2


@dataclass(frozen=True)
class FrameLayout:
    """The storage of a clip's frames: coded size, shape of a pixel, orientation, colors."""

    coded_size: tuple[int, int]
    pixel_aspect: Fraction
    is_transposed: bool
    flips: tuple[int, ...]
    colors: ColorTags

    @classmethod
    def read(cls, frame: VideoFrame, pixel_aspect: Fraction | None) -> FrameLayout:
        """Read the layout of a frame."""
        is_transposed, flips = _read_orientation(frame)
        is_full = frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj")
        matrix = 0 if frame.format.is_rgb else frame.colorspace
        colors = ColorTags(frame.color_primaries, frame.color_trc, matrix, is_full)
        aspect = pixel_aspect if pixel_aspect and pixel_aspect > 0 else Fraction(1)
        return cls((frame.height, frame.width), aspect, is_transposed, flips, colors)

    def reduce(self, long_side_px: int) -> FrameLayout:
        """Return the layout of frames that are scaled down to a long side of about this many pixels."""
        height, width = self.coded_size
        factor = long_side_px / max(self.stored_size)
        if factor >= 1:
            return self
        return replace(self, coded_size=(max(2, round(height * factor)), max(2, round(width * factor))))

    @property
    def stored_size(self) -> tuple[int, int]:
        """The size (height, width) with square pixels: the shorter side of a pixel is enlarged."""
        height, width = self.coded_size
        if self.pixel_aspect >= 1:
            return height, round(width * self.pixel_aspect)
        return round(height / self.pixel_aspect), width

    @property
    def size(self) -> tuple[int, int]:
        """The upright size (height, width)."""
        height, width = self.stored_size
        return (width, height) if self.is_transposed else (height, width)


def _shrink(frame: VideoFrame, size: tuple[int, int]) -> VideoFrame:
    """Scale a frame in its own format."""
    return frame.reformat(width=size[1], height=size[0], interpolation="AREA")


def _read_orientation(frame: VideoFrame) -> tuple[bool, tuple[int, ...]]:
    """Return whether rows and columns are swapped, and the dimensions to flip after that."""
    from av.sidedata.sidedata import Type

    side_data: Any = frame.side_data
    if (entry := side_data.get(Type.DISPLAYMATRIX)) is None:
        return False, ()
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(entry))
    is_transposed = abs(b) > abs(a)
    x, y = (c, b) if is_transposed else (a, d)
    return is_transposed, tuple(dim for dim, scale in ((2, y), (3, x)) if scale < 0)


def decode_frame(frame: VideoFrame, layout: FrameLayout) -> Tensor:
    """Convert a frame to float32 sRGB (1, 3, H, W), scaled to the size of its layout."""
    tags = layout.colors.resolve(frame.height)
    if (frame.height, frame.width) != layout.coded_size:
        frame = _shrink(frame, layout.coded_size)
    pixels = to_srgb(_to_rgb(frame, tags), layout.colors)
    if layout.stored_size != layout.coded_size:
        pixels = F.interpolate(pixels, layout.stored_size, mode="bicubic", antialias=True).clamp_(0, 1)
    if layout.is_transposed:
        pixels = pixels.transpose(2, 3)
    if layout.flips:
        pixels = pixels.flip(layout.flips)
    return pixels.contiguous()


def _to_rgb(frame: VideoFrame, tags: ColorTags) -> Tensor:
    """Convert planes with their own matrix, range and depth; other formats by FFmpeg."""
    name = frame.format.name
    if name in PLANAR:
        frame = frame.reformat(format=PLANAR[name])
        name = frame.format.name
    if (
        not name.startswith(("yuv4", "yuvj4", "yuva4", "gray"))
        or name == "grayf32le"
        or tags.matrix not in LUMA_WEIGHTS
    ):
        return _to_rgb_by_ffmpeg(frame)
    bits = frame.format.components[0].bits
    y = _plane(frame, 0, bits)
    height, width = y.shape
    if name.startswith("gray"):
        cb = cr = torch.full_like(y, 2 ** (bits - 1))
        is_full = frame.color_range != 1
        return ycbcr_to_rgb(y, cb, cr, ColorTags(matrix=tags.matrix, is_full_range=is_full), bits)
    chroma = [_plane(frame, number, bits) for number in (1, 2)]
    rows, columns = (_whole(side, part) for side, part in zip((height, width), chroma[0].shape, strict=True))
    cb, cr = (upsample(plane, height, width, rows, columns) for plane in chroma)
    return ycbcr_to_rgb(y, cb, cr, tags, bits)


def _whole(side: int, part: int) -> int:
    return next(factor for factor in (1, 2, 4) if -(-side // factor) <= part)


def _plane(frame: VideoFrame, number: int, bits: int) -> Tensor:
    plane = frame.planes[number]
    kind = np.dtype(np.uint8) if bits == 8 else np.dtype("<u2")
    if bits > 8 and frame.format.is_big_endian:
        kind = np.dtype(">u2")
    rows = np.frombuffer(memoryview(plane), kind).reshape(-1, plane.line_size // kind.itemsize)
    levels = rows[: plane.height, : plane.width]
    return torch.from_numpy(levels.astype(np.int32) if bits > 8 else levels.copy())


def _to_rgb_by_ffmpeg(frame: VideoFrame) -> Tensor:
    """Convert RGB and palettes, at 8 or 16 bits. Alpha is flattened over white."""
    components = frame.format.components
    is_deep = any(component.bits > 8 for component in components)
    if frame.format.name.startswith("gbrp") and is_deep and "f" not in frame.format.name:
        bits = components[0].bits  # FFmpeg would lose white
        green, blue, red = (_plane(frame, number, bits) for number in range(3))
        return torch.stack([red, green, blue]).unsqueeze(0).float() / float(2**bits - 1)
    has_alpha = any(component.is_alpha for component in components) or frame.format.has_palette
    name = ("rgba64le" if has_alpha else "rgb48le") if is_deep else ("rgba" if has_alpha else "rgb24")
    levels = frame.reformat(format=name).to_ndarray().astype(np.float32) / (65535 if is_deep else 255)
    if has_alpha:
        levels = levels[..., :3] * levels[..., 3:] + 1 - levels[..., 3:]
    return torch.from_numpy(levels).permute(2, 0, 1).unsqueeze(0).contiguous()
