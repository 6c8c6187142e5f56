"""The frames of a video file, decoded by PyAV."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from impasto.clips.container import open_container, pick_stream
from impasto.clips.decoding import FrameLayout, decode_frame
from impasto.clips.frame_index import FrameIndex
from impasto.errors import FrameError, VideoError

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

logger = logging.getLogger("impasto")

__all__ = ["VideoFile", "read_layout"]


def read_layout(path: Path) -> FrameLayout:
    """Decode the first frame for its size, orientation and colors. Raises `VideoError`."""
    with open_container(path) as container:
        stream = pick_stream(container, path)
        for frame in container.decode(stream):
            layout = FrameLayout.read(frame, stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio)
            if layout.colors.is_hdr:
                logger.warning("%s is HDR. Its highlights are compressed, and the output is SDR.", path)
            if frame.interlaced_frame:
                logger.warning("%s is interlaced. Deinterlace it first, or its comb lines are painted.", path)
            return layout
    raise VideoError(f"{path} holds no frame that can be decoded. Is it a complete video file?")


class VideoFile:
    """A video file whose frames are known by their times."""

    def __init__(self, path: Path, index: FrameIndex, layout: FrameLayout) -> None:
        self.path, self.index, self.layout = path, index, layout
        self._numbers = {time: number for number, time in enumerate(index.times)}

    def frames(self, first: int, last: int, long_side_px: int | None = None) -> Iterator[Tensor]:
        """Yield frames `first` to `last` - 1. Raises `FrameError` for one that is damaged."""
        wanted, small = first, self.layout.reduce(long_side_px) if long_side_px is not None else self.layout
        for number, frame in self._decode_from(first):
            if number < wanted:
                continue
            self._require_whole(number, wanted, frame)
            yield decode_frame(frame, small)
            wanted += 1
            if wanted == last:
                return
        raise self._damaged(wanted)

    def _decode_from(self, first: int) -> Iterator[tuple[int, VideoFrame]]:
        """Yield numbers and frames, from a key frame before `first`."""
        keyframe = self.index.keyframe_before(first)
        if keyframe is not None:
            frames = self._decode(keyframe)
            for number, frame in frames:
                if number > first:  # sought too far, or the frame is damaged: reading from the start tells
                    break
                yield number, frame
                if number == first:
                    yield from frames
                    return
        yield from self._decode(None)

    def _decode(self, keyframe: int | None) -> Iterator[tuple[int, VideoFrame]]:
        import av

        with open_container(self.path) as container:
            stream = pick_stream(container, self.path)
            if keyframe is not None:
                container.seek(keyframe, stream=stream)
            count = 0
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.InvalidDataError:  # the gap in the numbers tells which frame it was
                    continue
                for frame in frames:
                    number = self._numbers.get(frame.pts) if frame.pts is not None else None
                    if not self.index.has_packet_times:
                        number, count = count, count + 1
                    if number is not None:
                        yield number, frame

    def _require_whole(self, number: int, wanted: int, frame: VideoFrame) -> None:
        if number > wanted or frame.is_corrupt:
            raise self._damaged(wanted)
        if (frame.height, frame.width) != self.layout.coded_size:
            height, width = self.layout.coded_size
            raise FrameError(
                f"{self.path} changes its size at frame {number + 1}, from {width}x{height} to "
                f"{frame.width}x{frame.height}, and a clip needs one size. Set `end` before it, or cut it in two.",
                number,
            )

    def _damaged(self, number: int) -> FrameError:
        time = float((self.index.times[number] - self.index.times[0]) * self.index.time_base)
        return FrameError(
            f"{self.path}: frame {number + 1} (at {time:.2f} s) is damaged. "
            "Set `start` and `end` so that it is left out, or repair the file.",
            number,
        )
