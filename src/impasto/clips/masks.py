"""Masks of a clip: one picture for all frames, or a clip or a folder with a mask for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from impasto.clips.clip import Clip, open_clip
from impasto.clips.frames import FrameReader, to_frame
from impasto.clips.kinds import is_clip
from impasto.errors import VideoError
from impasto.images import open_image

__all__ = ["ClipMasks"]


class ClipMasks:
    """The masks of each frame of a clip. A mask clip has a frame for each frame of the clip."""

    def __init__(self, content_masks: Sequence[Any], protect: Any, frame_count: int) -> None:
        def open_mask(source: Any) -> Any:
            if source is None or not is_clip(source):
                return source if source is None else open_image(source)
            mask = open_clip(source)
            if mask.frame_count < frame_count:
                raise VideoError(
                    f"{source} has masks for {mask.frame_count} frames, and {frame_count} are needed. Give one for "
                    "each frame of the clip, or one picture for all."
                )
            return mask

        self._content_masks, self._protect = tuple(map(open_mask, content_masks)), open_mask(protect)
        opened = *self._content_masks, self._protect
        self._readers = {mask: FrameReader(mask) for mask in opened if isinstance(mask, Clip)}

    @property
    def sources(self) -> dict[str, Any]:
        """The opened masks, pictures or clips, as fields of `Inputs`."""
        return {"content_masks": self._content_masks, "protect": self._protect}

    @property
    def move(self) -> bool:
        """True if a mask has a frame for each frame of the clip."""
        return bool(self._readers)

    def at(self, number: int) -> dict[str, Any]:
        """Return the masks of one frame of the clip, as fields of `Inputs`."""

        def of_frame(mask: Any) -> Any:
            return to_frame(self._readers[mask].read(number)) if isinstance(mask, Clip) else mask

        return {
            "content_masks": tuple(of_frame(mask) for mask in self._content_masks),
            "protect": of_frame(self._protect),
        }
