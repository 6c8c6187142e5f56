"""Requests for clips as jobs: options checked, and the first frame as a run, before anything is queued."""

from __future__ import annotations

from impasto.clips.timing import select
from impasto.config import Config, RunOptions
from impasto.config.video import VideoOptions
from impasto.errors import VideoError
from impasto.images import NamedImage
from impasto.jobs import Job, JobError
from impasto.jobs.clips import require_clip_job, submit_clip
from impasto.studio.clip_shots import ClipShots
from impasto.studio.clips import clip_name, name_errors
from impasto.studio.options import VIDEO
from impasto.studio.requests import OpenPicture, build_run
from impasto.studio.schemas import PaintRequest, PictureRef

__all__ = ["read_video", "submit_clip_request"]


def read_video(request: PaintRequest) -> VideoOptions:
    """Return the options of a clip. Raises `JobError` for those that clips have only on the command line."""
    given = request.video or {}
    if refused := ", ".join(sorted(given.keys() - set(VIDEO))):
        raise JobError(f"{refused} cannot be set for a clip here. Allowed options are {', '.join(VIDEO)}.")
    return VideoOptions(**{name: value for name, value in given.items() if value != ""})  # empty fields of the form


def submit_clip_request(
    shots: ClipShots, request: PaintRequest, config: Config, options: RunOptions, open_picture: OpenPicture
) -> Job:
    """Add a clip to the queue, once its shots are found. Raises `ImpastoError`."""
    video, clips = read_video(request), shots.clips
    require_clip_job(config, options, video, len(request.styles))
    if request.content.sha256 is None:
        raise JobError("A sample is a picture, not a clip. Upload a clip, or leave video out.")
    if request.init is not None:
        raise JobError("A clip has no start picture. Leave `init` out, or paint a single frame.")
    clip, name = clips.open(request.content.sha256), clip_name(request.content.name or "clip")
    with name_errors(clip.path, name):
        selection = select(clip, video)
        frame = NamedImage(name, clip.frame(selection.frames[0].source))

    def open_any(ref: PictureRef) -> NamedImage:
        return frame if ref is request.content else open_picture(ref)

    run = build_run(request, config, options, open_any, open_picture)
    found = shots.find(request.content.sha256)
    if selection.frames[-1].source >= found.frame_count:
        raise VideoError(f"{found.problem} Set the end of the clip before it.")
    if video.cuts is None:
        video = video.model_copy(update={"cuts": found.cuts})
    inputs = run.inputs.model_copy(update={"content": NamedImage(name, clip.path)})
    return submit_clip(clips.store, inputs, run.config, run.options, video, priority=request.priority)
