"""Clips as jobs: copy a clip's files into the queue, find its shots, and add a job for each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from impasto.clips import require_clip_output
from impasto.clips.api import check_keyframes, open_source, require_clip_config
from impasto.clips.frame_folder import require_room_for_frames
from impasto.clips.kinds import CLIP_SUFFIX
from impasto.clips.packed import unpacked
from impasto.clips.shots import find_cuts, find_shots
from impasto.clips.timing import select
from impasto.clips.video_sink import pick_encoder, require_encodable
from impasto.config import Config, Inputs, RunOptions
from impasto.config.run_options import SRGB
from impasto.config.video import VideoOptions
from impasto.core.framing import frame_content
from impasto.errors import ConfigError, ImageError, VideoError
from impasto.jobs.model import Job, JobError
from impasto.jobs.store import JobStore
from impasto.jobs.submit import key_of, store_inputs

__all__ = ["add_clip", "require_clip_job", "submit_clip"]

UNNAMED = Path(f"clip{CLIP_SUFFIX}")
"""The name in messages for a clip that is written when it is downloaded."""


def submit_clip(
    store: JobStore,
    inputs: Inputs,
    config: Config,
    run: RunOptions,
    video: VideoOptions,
    *,
    output: str | None = None,
    priority: int = 0,
) -> Job:
    """Add a clip to the queue: the content of its inputs, which are copied.

    Without cuts in `video`, the clip is decoded to find them. Raises `ConfigError`, `JobError`, `VideoError`.
    """
    require_clip_job(config, run, video, len(inputs.styles), output)
    return add_clip(store, store_inputs(store, inputs), config, run, video, output=output, priority=priority)


def require_clip_job(
    config: Config, run: RunOptions, video: VideoOptions, style_count: int, output: str | None = None
) -> None:
    """Raise `ConfigError`, `JobError` or `OutputError` for options and an output that a clip cannot have."""
    require_clip_config(config)
    if run.profile != SRGB:
        raise ConfigError("`profile` is for pictures, not for clips. Leave it out.")
    check_keyframes(video, config, style_count)
    if output is not None:
        if not Path(output).suffix:
            raise JobError(f"{output} would be a folder, and a job writes one file. Use a name such as {output}.mp4.")
        require_clip_output(output, codec=video.codec)
    elif video.codec != VideoOptions().codec:
        pick_encoder(UNNAMED, video.codec)


def add_clip(
    store: JobStore,
    files: Mapping[str, Mapping[str, str | None]],
    config: Config,
    run: RunOptions,
    video: VideoOptions,
    *,
    output: str | None = None,
    priority: int = 0,
    once: bool = False,
) -> Job:
    """Add a clip, whose files are in the queue, with a job for each of its shots.

    With `once`, return the latest job of the same clip and output instead, if there is one. Raises `VideoError`,
    `ConfigError` for frames that the codec cannot take, and `OutputError` if the disk has no room for them.
    """
    options = config.model_dump(mode="json")
    content = files["content"]
    path = store.files.path(str(content["sha256"]))
    with unpacked(path, store.folder) as source:
        try:
            clip = open_source(source, video)
            selection = select(clip, video)
        except (VideoError, ImageError) as error:
            raise type(error)(str(error).replace(str(source), str(content["name"]))) from error
        size = frame_content(clip.size, config).size
        require_encodable(Path(output or UNNAMED), video.codec, size)
        require_room_for_frames(store.folder, len(selection.frames), size, video)
        cuts = find_cuts(clip, selection) if video.cuts is None else video.cuts
    return store.add(
        options,
        files,
        key=key_of(options, files, video.model_dump(mode="json")),
        run=run.model_dump(mode="json"),
        output=output,
        priority=priority,
        once=once,
        video=video.model_copy(update={"cuts": cuts}).model_dump(mode="json"),
        shots=find_shots(selection, cuts),
    )
