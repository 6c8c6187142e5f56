"""Clips of the studio: untrusted uploads, their frames, and frames as pictures."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
from collections import OrderedDict
from collections.abc import AsyncIterable, Iterator
from functools import partial
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from impasto import images
from impasto.clips import Clip, open_clip
from impasto.clips.packed import is_packed, unpack_frames
from impasto.clips.probe import read_header
from impasto.errors import FrameError, RecipeError, VideoError
from impasto.files import ScratchFolder, atomic_folder, atomic_write
from impasto.jobs import UnknownJobError
from impasto.studio.background import Background
from impasto.studio.browser_copies import browser_type, write_copy
from impasto.studio.clip_schemas import ClipView
from impasto.studio.pictures import Pictures, base_name
from impasto.studio.schemas import FileView

__all__ = ["MAX_FRAMES", "Clips", "clip_name", "name_errors"]

MAX_FRAMES = 20_000
"""Limit of a clip: 13 minutes at 25 frames a second. Painting it at 512 px takes a day."""

MAX_MEGAPIXELS = 36.0
"""Limit of a frame, a little above 8K. It is read from the header, before a frame is decoded."""

MAX_NAME_BYTES = 150

FRAMES = ".frames"
"""Suffix of a folder of unpacked frames."""

MAX_OPEN = 8
"""Number of clips whose frame times are remembered: reading them takes seconds for a large file."""


class Clips:
    """The clips of one studio, stored with the files of its queue. What is derived from them lies in `folder`."""

    def __init__(self, pictures: Pictures) -> None:
        self.pictures, self.store = pictures, pictures.store
        self.folder = self.store.folder / "clip-data"
        self.background = Background()
        self._opened: OrderedDict[str, Clip] = OrderedDict()
        self._lock = threading.Lock()

    async def upload(self, name: str, chunks: AsyncIterable[bytes]) -> ClipView:
        """Store an uploaded clip. Raises `VideoError` if it is none or too large; nothing is stored then."""
        return await self.pictures.receive(chunks, lambda path: self._store(clip_name(name), path))

    def _store(self, name: str, path: Path) -> ClipView:
        """Open a clip and decode its first and last frame, and store it."""
        with name_errors(path, name):
            header = read_header(path)
            height, width = header.size
            if height * width > MAX_MEGAPIXELS * 1e6:
                raise VideoError(
                    f"{path} has frames of {width}x{height} px; the studio takes up to {MAX_MEGAPIXELS:g} megapixels. "
                    "Scale it down first."
                )
            _require_few(path, header.frame_count)
            clip = open_clip(path)
            _require_few(path, clip.frame_count)
            clip.frame(0)
            with contextlib.suppress(FrameError):  # finding the shots tells which frames are damaged
                clip.frame(clip.frame_count - 1)
        sha256 = self.store.files.add(path)
        note = ""
        if clip.frame_count < header.frame_count:
            note = f"The file is cut off: {clip.frame_count} of its {header.frame_count} frames are there."
        return self.view(sha256, name).model_copy(update={"note": note})

    def view(self, sha256: str, name: str) -> ClipView:
        """Describe a stored clip. Raises `JobError`, `VideoError`."""
        clip = self.open(sha256)
        height, width = clip.size
        return ClipView(
            sha256=sha256,
            name=clip_name(name),
            width=width,
            height=height,
            duration_s=float(clip.duration),
            rate=float(clip.rate),
            frame_count=clip.frame_count,
            sound=bool(clip.sounds),
            copied=browser_type(clip) is None,
        )

    def open(self, sha256: str) -> Clip:
        """Return a stored clip. Raises `JobError` if it does not exist, `VideoError` if it is a picture."""
        path = self.pictures.file(sha256, "clip")
        with self._lock:
            if sha256 in self._opened:
                self._opened.move_to_end(sha256)
                return self._opened[sha256]
        with name_errors(path):
            clip = open_clip(self._unpack(path) if is_packed(path) else path)
        with self._lock:
            self._opened[sha256] = clip
            while len(self._opened) > MAX_OPEN:
                self._opened.popitem(last=False)
        return clip

    def _unpack(self, path: Path) -> Path:
        """Return the folder of numbered frames that the queue stores as one file, unpacked once."""
        folder = self.folder / f"{path.name}{FRAMES}"
        if not folder.exists():
            self.folder.mkdir(exist_ok=True)
            with atomic_folder(folder) as temporary:
                unpack_frames(path, temporary)
        return folder

    def thumbnail(self, sha256: str, number: int, long_side_px: int) -> bytes:
        """Encode a small JPEG of a frame, counted from 0. Raises `UnknownJobError`, `FrameError`."""
        clip = self._require_frame(sha256, number)
        with name_errors(clip.path):
            return images.encode_jpeg(
                images.load(
                    next(clip.frames(number, number + 1, long_side_px=long_side_px)), long_side_px=long_side_px
                ).pixels
            )

    def store_frame(self, sha256: str, number: int, name: str) -> FileView:
        """Store a frame as a picture, so that it can be painted by itself. Raises `UnknownJobError`, `FrameError`."""
        clip = self._require_frame(sha256, number)
        with ScratchFolder(self.store.folder) as folder:
            path = folder / "frame.png"
            with name_errors(clip.path):
                images.save(path, clip.frame(number))
            stem = Path(clip_name(name)).stem
            return self.pictures.add(f"{stem} {float(clip.times[number]):.2f} s.png", path)

    def _require_frame(self, sha256: str, number: int) -> Clip:
        clip = self.open(sha256)
        if number >= clip.frame_count:
            raise UnknownJobError(f"The clip has frames 0 to {clip.frame_count - 1}, and no frame {number}.")
        return clip

    async def find_playable(self, sha256: str) -> tuple[Path, str]:
        """Return the path and the media type of a file that every browser plays: the clip, or a copy of it."""
        clip = await run_in_threadpool(self.open, sha256)
        if kind := await run_in_threadpool(browser_type, clip):
            return clip.path, kind
        path = self.folder / f"{sha256}.mp4"
        if not path.exists():
            task = self.background.start(f"copy {sha256}", partial(self._copy, clip, path))
            await asyncio.shield(asyncio.wrap_future(task))  # others may wait for it too
        return path, "video/mp4"

    def _copy(self, clip: Clip, target: Path) -> None:
        # In a scratch folder, which is removed even if this process is killed.
        with ScratchFolder(self.store.folder) as folder, name_errors(clip.path):
            write_copy(clip, folder / "copy.mp4", self.background.check)
            self.folder.mkdir(exist_ok=True)
            with atomic_write(target) as temporary:
                shutil.copyfile(folder / "copy.mp4", temporary)

    def remove_unused(self) -> None:
        """Remove what was derived from clips that are no longer stored."""
        for path in self.folder.glob("?" * 64 + ".*"):
            if self.store.files.path(path.stem).exists():
                continue
            if path.suffix == FRAMES:
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def clip_name(name: str) -> str:
    """Return the base name of a client's file, short enough for a file: workers read clips under their names."""
    path = Path(base_name(name, "clip"))
    stem = path.stem.encode()[:MAX_NAME_BYTES].decode(errors="ignore").strip(". ") or "clip"
    return stem + path.suffix[:16]


@contextlib.contextmanager
def name_errors(path: Path, name: str = "The clip") -> Iterator[None]:
    """Replace the path of a clip in errors by its name: clients see no paths of this machine."""
    try:
        yield
    except FrameError as error:
        raise FrameError(str(error).replace(str(path), name), error.number) from error
    except (VideoError, RecipeError) as error:
        raise type(error)(str(error).replace(str(path), name)) from error


def _require_few(path: Path, frame_count: int) -> None:
    if frame_count > MAX_FRAMES:
        raise VideoError(
            f"{path} has {frame_count} frames; the studio takes up to {MAX_FRAMES}. Cut it, or use impasto video."
        )
