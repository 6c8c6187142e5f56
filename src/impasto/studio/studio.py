"""The studio behind the web application: queue, pictures, clips, sketches and events, and how a job is submitted."""

from __future__ import annotations

from dataclasses import dataclass, field

from impasto.images import NamedImage
from impasto.jobs import JobError, JobStore
from impasto.jobs.submit import submit
from impasto.studio.auth import AccessPolicy
from impasto.studio.clip_requests import submit_clip_request
from impasto.studio.clip_shots import ClipShots
from impasto.studio.clips import Clips
from impasto.studio.events import EventHub
from impasto.studio.pictures import Pictures
from impasto.studio.requests import build_run, read_config, read_run_options
from impasto.studio.schemas import JobView, PaintRequest, PictureRef
from impasto.studio.sketches import Sketches

__all__ = ["Studio"]

MAX_QUEUED = 1000
"""Maximum number of waiting jobs. For thousands of pictures there is `impasto batch`."""


@dataclass
class Studio:
    """A queue with its pictures, sketches and events, and the policy of who may use it."""

    store: JobStore
    policy: AccessPolicy = field(default_factory=AccessPolicy)
    max_queued: int = MAX_QUEUED

    def __post_init__(self) -> None:
        self.pictures = Pictures(self.store)
        self.sketches = Sketches(self.pictures)
        self.clips = Clips(self.pictures)
        self.shots = ClipShots(self.clips)
        self.events = EventHub(self.store)

    def close(self) -> None:
        """End all event streams and background work."""
        self.events.closed = True
        self.clips.background.close()

    def submit(self, request: PaintRequest) -> JobView:
        """Add a picture or a clip to the queue. Raises `ImpastoError`."""
        if self.store.count_queued() >= self.max_queued:
            raise JobError(f"The queue is full: {self.max_queued} pictures are waiting. Try again later.")
        config, options = read_config(request), read_run_options(request)

        def open_picture(ref: PictureRef) -> NamedImage:
            return self.pictures.source(ref, config.painted_px)

        if request.video is not None:
            return JobView.of(submit_clip_request(self.shots, request, config, options, open_picture))
        run = build_run(request, config, options, open_picture, open_picture)
        profile = self.pictures.file(request.profile.sha256, "color profile") if request.profile is not None else None
        job = submit(self.store, run.inputs, run.config, run.options, priority=request.priority, profile=profile)
        view = JobView.of(job)
        return view.model_copy(update={"note": run.print_note.text if run.print_note else ""})
