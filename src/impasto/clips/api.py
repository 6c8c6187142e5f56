"""The functions that `import impasto` offers for clips."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from impasto.clips.chain import FrameDone
from impasto.clips.clip import PICTURE_RATE, Clip, open_clip
from impasto.clips.clip_run import ClipRun
from impasto.clips.frame_folder import FrameFolder
from impasto.clips.kinds import is_animation, is_clip
from impasto.clips.masks import ClipMasks
from impasto.clips.opencv import require_opencv
from impasto.clips.photo_clip import open_photo
from impasto.clips.timing import select
from impasto.clips.video_sink import require_encodable
from impasto.clips.writing import require_clip_output
from impasto.config import Config, Plan
from impasto.config.print_size import NO_PRINT
from impasto.config.video import VideoOptions, options_at
from impasto.errors import ConfigError, ImageError, VideoError
from impasto.images.formats import require_readable_file
from impasto.run import as_tuple, prepare_run
from impasto.run.mask_pairing import format_count
from impasto.run.model_cache import ModelCache

if TYPE_CHECKING:
    from impasto.config.option_types import ClipOptions
    from impasto.config.types import ImageLike

__all__ = ["build_clip", "check_keyframes", "frame_folder_of", "open_source", "prepare_clip", "video", "video_steps"]


def video(
    clip: str | Path,
    style: ImageLike | Sequence[ImageLike],
    output: str | Path,
    config: Config | None = None,
    *,
    resume: bool = False,
    **options: Unpack[ClipOptions],
) -> Path:
    """Paint a clip in the manner of `style`, and write it to `output`, with its sound. Returns the path.

    The frames are kept in a folder beside `output` until all are painted; with `resume`, an interrupted call continues
    with them. `options` are fields of `VideoOptions`, `Config` and `RunOptions`; each of `content_masks` and `protect`
    is one picture, or a clip or folder with one for each frame. A photo is a clip of `seconds`, in which `keyframes`
    change the options. Raises subclasses of `ImpastoError`; the frames so far are kept then.
    """
    for _ in video_steps(clip, style, output, config, resume=resume, **options):
        pass
    return Path(output)


def video_steps(
    clip: str | Path,
    style: ImageLike | Sequence[ImageLike],
    output: str | Path,
    config: Config | None = None,
    *,
    resume: bool = False,
    **options: Unpack[ClipOptions],
) -> Generator[FrameDone, None, None]:
    """Yield each frame of `video` once it is painted, and write the clip after the last one.

    Close the generator to stop; the frames so far are kept.
    """
    run = prepare_clip(clip, style, output, config, resume=resume, **options)
    return _steps(run, Path(output))


def _steps(run: ClipRun, output: Path) -> Generator[FrameDone, None, None]:
    try:
        yield from run.frames()
        run.write(output)
    except BaseException:
        run.discard()
        raise
    run.folder.remove()


def frame_folder_of(output: Path) -> Path:
    """Return the folder in which the frames of a clip are kept until it is written."""
    return output.with_name(f"{output.name}.frames")


def prepare_clip(
    clip: str | Path,
    style: Any,
    output: str | Path,
    config: Config | None = None,
    *,
    resume: bool = False,
    is_preview: bool = False,
    recorded_plan: Plan | None = None,
    **options: Any,
) -> ClipRun:
    """Build the run of a clip, and create or open the folder of its frames, which a preview does not need.

    `recorded_plan` repeats an earlier run exactly. Raises subclasses of `ImpastoError`.
    """
    output = Path(output)
    video = VideoOptions.take(options)
    masks = *as_tuple(options.get("content_masks", ())), options.get("protect")
    used = [source for source in (clip, *as_tuple(style), *masks) if isinstance(source, (str, Path))]
    require_clip_output(output, [Path(source) for source in used], video.codec)
    folder = FrameFolder(frame_folder_of(output))
    if resume and (plan := folder.recorded("plan")) is not None:
        recorded_plan = Plan(**plan)
    prepared = build_clip(clip, style, video, folder, config=config, recorded_plan=recorded_plan, **options)
    require_encodable(output, video.codec, prepared.first.size)
    if not is_preview:
        prepared.require_room()
        folder.open(prepared.description, resume=resume)
    return prepared


def build_clip(
    clip: str | Path,
    style: Any,
    video: VideoOptions,
    folder: FrameFolder,
    *,
    config: Config | None = None,
    recorded_plan: Plan | None = None,
    cache: ModelCache | None = None,
    part: range | None = None,
    content_masks: Any = (),
    protect: Any = None,
    **options: Any,
) -> ClipRun:
    """Build the run of a clip, or of a part of it, into a folder that exists. Raises subclasses of `ImpastoError`."""
    require_opencv()  # now, not after the first frame
    opened = open_source(Path(clip), video)
    selection = select(opened, video)
    numbers = [frame.source for frame in selection.frames]
    masks = ClipMasks(as_tuple(content_masks), protect, numbers[-1] + 1)
    frame, cache = opened.frame(numbers[0]), cache or ModelCache(cache_measurements=True)
    run = prepare_run(frame, style, config, **options, **masks.at(numbers[0]), cache=cache)
    require_clip_config(run.config)
    run.config = run.config.model_copy(update={"supersample": 1.0})
    check_keyframes(video, run.config, len(run.inputs.styles))
    run.recorded_plan = recorded_plan
    return ClipRun(opened, selection, masks, run, video, folder, part)


def require_clip_config(config: Config) -> None:
    """Raise `ConfigError` for options that clips have not."""
    if config.print != NO_PRINT or config.panorama or (config.supersample or 1) > 1:
        raise ConfigError("`print`, `panorama` and `supersample` are for pictures, not for clips. Leave them out.")


def check_keyframes(video: VideoOptions, config: Config, style_count: int) -> None:
    """Raise `ConfigError` now for values that a later frame would refuse."""
    for mark in video.keyframes:
        Config(**(config.model_dump() | dict(options_at(video.keyframes, mark.time_s))))
        given = len(mark.values)
        if mark.option == "style_weights" and given != style_count:
            counts = f"{format_count(given, 'value')} for {format_count(style_count, 'style')}"
            raise ConfigError(f"keyframes give style_weights {counts}. Give one for each.")


def open_source(path: Path, options: VideoOptions) -> Clip:
    """Open a clip, or a photo as one of `seconds`. Raises `VideoError`, `ImageError`."""
    if options.seconds is None:
        if _is_picture(path):
            raise VideoError(
                f"{path} is a single picture, and a clip needs two or more. --seconds 8 makes a clip of a photo, and "
                "impasto stylize paints a picture."
            )
        return open_clip(path)
    if path.exists() and is_clip(path):
        raise VideoError(f"seconds makes a clip of a photo, and {path} is a clip already. Leave seconds out.")
    rate = Fraction(str(options.fps_out)) if options.fps_out is not None else PICTURE_RATE
    return open_photo(path, Fraction(str(options.seconds)), rate)


def _is_picture(path: Path) -> bool:
    """Return True for a file that holds one picture, whatever its name: files of the queue have no suffix."""
    if not path.is_file() or is_clip(path) or is_animation(path):
        return False
    try:
        require_readable_file(path)
    except ImageError:
        return False
    return True
