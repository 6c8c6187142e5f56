"""The sizes of a run: of the picture, of what is painted, and of the target."""

from __future__ import annotations

from dataclasses import dataclass

from impasto.config import Config
from impasto.config.wrap import Dims, wrapped_dims
from impasto.core.framing import Frame, Size, frame_content
from impasto.images import OpenedImage
from impasto.run.layout import find_panorama

__all__ = ["Sizes", "find_sizes"]


@dataclass(frozen=True)
class Sizes:
    """The sizes of a run, (height, width) in pixels.

    The picture is painted `supersample` times larger than its `frame`, and reduced afterwards. `target` is the size at
    which it is painted, in the layout of a panorama if it is one. Along the dimensions `wrap` the edges of the picture
    meet.
    """

    frame: Frame
    supersample: float
    target: Size
    wrap: Dims


def find_sizes(content: OpenedImage, config: Config) -> Sizes:
    """Return the sizes of a run. Raises `ImageError`, `ConfigError`."""
    frame = frame_content(content.size, config)
    supersample = config.supersample_at(*frame.size)
    painted = frame.enlarged(supersample).size
    panorama = find_panorama(content, painted, config)
    if panorama is not None:
        return Sizes(frame, supersample, panorama.atlas_size, wrapped_dims("x"))
    return Sizes(frame, supersample, painted, wrapped_dims(config.wrap))
