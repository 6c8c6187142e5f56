"""The part of a photo that is painted, its size, and its place on the paper of a print."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from impasto.config import Config
from impasto.config.print_size import NO_PRINT, Paper, parse_paper
from impasto.core.image import fit
from impasto.core.tensor_store import TensorStore
from impasto.errors import ConfigError

__all__ = ["Frame", "Size", "frame_content", "mount"]

Size = tuple[int, int]


@dataclass(frozen=True)
class Frame:
    """A picture in a print: all sizes are (height, width) in pixels.

    `crop` is the size of the painted part of the photo, which is its center; `source` is that of the whole photo. That
    part is painted at `size`, and placed in the center of `canvas`, which is white.
    """

    source: Size
    crop: Size
    size: Size
    canvas: Size

    @classmethod
    def whole(cls, height: int, width: int) -> Frame:
        """Return the frame of a picture as it is."""
        return cls(*[(height, width)] * 4)

    @property
    def offset(self) -> Size:
        """The place of the painting on the canvas: (top, left)."""
        return (self.canvas[0] - self.size[0]) // 2, (self.canvas[1] - self.size[1]) // 2

    def crop_of(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return the painted part of a picture of the same view: (top, left, height, width)."""
        tall, wide = (
            max(1, round(part * side / whole))
            for part, side, whole in zip(self.crop, (height, width), self.source, strict=True)
        )
        return (height - tall) // 2, (width - wide) // 2, tall, wide

    def enlarged(self, factor: float) -> Frame:
        """Return the frame in which the same part is painted larger, and reduced afterwards."""
        height, width = (round(factor * side) for side in self.size)
        return replace(self, size=(height, width))

    def scaled_to(self, height: int, width: int) -> Frame:
        """Return the frame of the same print at another size of its canvas."""
        tall, wide = (
            max(1, round(part * side / whole))
            for part, side, whole in zip(self.size, (height, width), self.canvas, strict=True)
        )
        return Frame(self.source, self.crop, (tall, wide), (height, width))


def frame_content(source: Size, config: Config) -> Frame:
    """Return the frame of a photo of this size. Raises `ConfigError` if a crop would leave nothing of it."""
    height, width = source
    if config.print == NO_PRINT:
        if config.bleed or config.fit != "crop":
            raise ConfigError("`bleed` and `fit` belong to a print. Give its size with --print, or leave them out.")
        size = fit(height, width, config.size, enlarge=config.enlarge)
        return Frame(source, source, size, size)
    paper = parse_paper(config.print).turned_to(height, width)
    canvas = paper.size_px(config.dpi, config.bleed)
    if config.fit == "crop":
        return Frame(source, _crop(source, paper, config), canvas, canvas)
    tall, wide = paper.size_px(config.dpi)
    scale = min(tall / height, wide / width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return Frame(source, source, size, canvas if config.fit == "pad" else size)


def _crop(source: Size, paper: Paper, config: Config) -> Size:
    """Return the size of the center of a photo that has the aspect of a paper with its bleed."""
    height, width = source
    aspect = (paper.width_mm + 2 * config.bleed) / (paper.height_mm + 2 * config.bleed)
    tall, wide = min(height, width / aspect), min(width, height * aspect)
    if min(tall, wide) < 1:
        raise ConfigError(
            f"A crop of the photo ({width}x{height} px) to {config.print} leaves nothing of it. Use --fit pad, or "
            "another photo."
        )
    return round(tall), round(wide)


def mount(pixels: Tensor, frame: Frame, store: TensorStore) -> Tensor:
    """Place a painting, or its alpha, on the white canvas of its frame."""
    if frame.size == frame.canvas:
        return pixels
    canvas = store.empty((1, pixels.shape[1], *frame.canvas), pixels.dtype).fill_(1)
    (top, left), (height, width) = frame.offset, frame.size
    canvas[:, :, top : top + height, left : left + width] = pixels
    return canvas
