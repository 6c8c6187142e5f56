"""Writing clips: videos, animations and folders of frames. A file is complete, or it is not there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from numpy.typing import NDArray
from torch import Tensor

from impasto.clips.clip import Clip
from impasto.clips.color import SRGB_TAGS, ColorTags
from impasto.clips.frames import to_tensor
from impasto.clips.metadata import format_note
from impasto.clips.picture_sink import AnimationSink, FolderSink, require_folder
from impasto.clips.video_sink import VIDEO_SUFFIXES, VideoSink, pick_encoder, require_encodable
from impasto.errors import OutputError, one_line
from impasto.files import atomic_folder, atomic_write, require_distinct, require_writable

__all__ = ["ClipWriter", "Sink", "require_clip_output"]

ANIMATION_SUFFIXES = (".gif", ".webp")


class Sink(Protocol):
    """An open output."""

    def write(self, pixels: Tensor, time: Fraction, duration: Fraction) -> None:
        """Add a frame (1, 3, H, W) in [0, 1], shown from `time` on."""

    def finish(self) -> None:
        """Complete the file."""

    def abandon(self) -> None:
        """Close what is open."""


class _AbandonedError(Exception):
    """The caller failed, so nothing is to be replaced."""


def is_folder_output(path: str | Path) -> bool:
    """Return True for a name that ends in / or has no suffix, and for an existing folder."""
    return str(path).endswith(("/", "\\")) or not Path(path).suffix or Path(path).is_dir()


def require_clip_output(path: str | Path, inputs: Sequence[Path] = (), codec: str = "h264") -> None:
    """Raise `OutputError` if no clip can be written to `path`, or if it is an input. Call it before painting."""
    path, is_folder = Path(path), is_folder_output(path)
    require_distinct([path], inputs)
    suffix = path.suffix.lower()
    if codec != "h264" and (is_folder or suffix in ANIMATION_SUFFIXES):
        raise OutputError(f"{path} is no video, and has no codec. Use a name such as a.mp4, or leave `codec` out.")
    if is_folder:
        require_folder(path, inputs)
        return
    known = (*VIDEO_SUFFIXES, *ANIMATION_SUFFIXES)
    if suffix not in known:
        raise OutputError(
            f"{path}: unknown clip format {suffix}. Use {', '.join(known)}, or a folder (a name that ends in /)."
        )
    if suffix in VIDEO_SUFFIXES:
        pick_encoder(path, codec)
    require_writable(path)


class ClipWriter:
    """Writes a clip frame by frame, as a context manager. An older file survives any failure.

    - .mp4, .mov, .mkv: H.264, which every player and browser shows, or with `codec` hevc or av1 (not in .mov). These
      need even sides, so an odd last row or column is repeated once (4:2:0 cannot be cropped by one pixel).
    - .webm: VP9 of any size, or av1, and Opus.
    - .gif, .webp: an endless animation, with times in steps of 10 ms and 1 ms.
    - A folder (a name that ends in / or has no suffix): 00001.png and so on, without sound.

    `lossless` keeps all 8 bits of RGB: H.264 as RGB (.mp4, .mov; few players and no browser), FFV1 (.mkv), VP9 as RGB
    (.webm), lossless WebP.

    Times are kept exactly in .mp4 and .mov if `time_base`, the clock of the source, is given; .mkv and .webm count
    milliseconds. The colors are coded as `colors` say, those of the source. `sound_from` is the clip that the first
    sound is taken of, from `start` to `end` seconds of that clip; give both for a part. It is copied where the format
    allows, and otherwise encoded as AAC, or Opus for .webm.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        rate: Fraction,
        *,
        time_base: Fraction | None = None,
        colors: ColorTags | None = None,
        sound_from: Clip | None = None,
        start: Fraction = Fraction(0),
        end: Fraction | None = None,
        codec: str = "h264",
        crf: int = 16,
        lossless: bool = False,
        metadata: Mapping[str, str] | None = None,
        inputs: Sequence[Path] = (),
    ) -> None:
        sources = [*inputs, *([sound_from.path] if sound_from is not None else [])]
        require_clip_output(path, sources, codec)
        require_encodable(Path(path), codec, size)
        self.path, self.size, self.rate, self.time_base = Path(path), size, rate, time_base
        self.colors = (colors or SRGB_TAGS).for_output(size[0])
        self.sound_from, self.start, self.end = sound_from, start, end
        self.codec, self.crf, self.lossless = codec, crf, lossless
        self.note = format_note(dict(metadata or {}))
        self._is_folder = is_folder_output(path)
        self._stack = contextlib.ExitStack()
        self._sink: Sink | None = None
        self._held: tuple[Tensor, Fraction] | None = None
        self.frame_count = 0

    def write(self, pixels: Tensor | NDArray[Any], time: Fraction | None = None) -> None:
        """Add a frame: float32 (1, 3, H, W) in [0, 1], or 8 bits (H, W, 3). `time` is in seconds from 0.

        Without a time, frames follow each other at the clip's rate. Raises `OutputError`.
        """
        frame = _as_tensor(pixels)
        if tuple(frame.shape[2:]) != self.size:
            height, width = self.size
            raise ValueError(f"a frame has {frame.shape[3]}x{frame.shape[2]} px, and the clip {width}x{height}")
        time = self.frame_count / self.rate if time is None else time
        if self._held is not None and time <= self._held[1]:
            raise ValueError(f"frame {self.frame_count + 1} is at {time} s, not after {self._held[1]} s")
        if self._sink is None:
            raise ValueError("write frames inside the with block")
        self._write_held(time)
        self._held = frame, time
        self.frame_count += 1

    def _write_held(self, until: Fraction) -> None:
        """Write the frame before, whose duration is known now."""
        if self._held is not None and self._sink is not None:
            with _output_errors(self.path):
                self._sink.write(*self._held, until - self._held[1])

    def __enter__(self) -> Self:
        self._sink = self._stack.enter_context(self._open_sink())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self.frame_count == 0:
            error = OutputError(f"{self.path}: no frame was written.")
            self._abandon()
            raise error
        if error is not None:
            self._abandon()
            return
        try:
            last = self._held[1] if self._held else Fraction(0)
            stop = self.end - self.start if self.end is not None else last + 1 / self.rate
            self._write_held(max(stop, last + Fraction(1, 1000)))
        except BaseException:
            self._abandon()
            raise
        self._stack.close()

    def _abandon(self) -> None:
        with contextlib.suppress(_AbandonedError):
            self._stack.__exit__(_AbandonedError, _AbandonedError(), None)

    @contextlib.contextmanager
    def _open_sink(self) -> Iterator[Sink]:
        target = atomic_folder(self.path) if self._is_folder else atomic_write(self.path)
        with target as temporary:
            with _output_errors(self.path):
                sink = self._make_sink(temporary)
            try:
                yield sink
                with _output_errors(self.path):
                    sink.finish()
            except BaseException:
                sink.abandon()
                raise

    def _make_sink(self, temporary: Path) -> Sink:
        suffix = self.path.suffix.lower()
        if self._is_folder:
            return FolderSink(temporary, self.note)
        if suffix in ANIMATION_SUFFIXES:
            return AnimationSink(temporary, suffix, lossless=self.lossless, note=self.note)
        sink = VideoSink(temporary, suffix, self.size, self.rate, self.time_base, self.colors, self.note)
        if self.lossless:
            sink.set_lossless()
        else:
            sink.set_quality(pick_encoder(self.path, self.codec), self.crf)
        if self.sound_from is not None and self.sound_from.sounds:
            end = self.end if self.end is not None else self.sound_from.duration
            sink.add_sound(self.sound_from, self.start, end)
        return sink


def _as_tensor(pixels: Tensor | NDArray[Any]) -> Tensor:
    if isinstance(pixels, Tensor):
        return pixels.detach().cpu().float().clamp(0, 1)
    return to_tensor(pixels)


@contextlib.contextmanager
def _output_errors(path: Path) -> Iterator[None]:
    """Raise errors of files and of encoders as `OutputError`."""
    try:
        yield
    except OutputError:
        raise
    except Exception as error:
        if not (isinstance(error, OSError) or type(error).__module__.startswith("av.")):
            raise
        reason = getattr(error, "strerror", None) or one_line(error)
        advice = "Free some space, or choose another place" if isinstance(error, OSError) else "Try another format"
        raise OutputError(f"{path} could not be written: {reason}. {advice}.") from error
