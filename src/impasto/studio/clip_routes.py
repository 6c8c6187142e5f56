"""The REST API for clips: uploads, shots, frames, and what a browser plays."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from impasto.jobs import JobError
from impasto.studio.clip_recipes import has_clip_recipe, load_clip_recipe
from impasto.studio.clip_schemas import ClipView, ShotsView
from impasto.studio.routes import (
    BINARY,
    CACHE_FOREVER,
    JPEG,
    PARTIAL,
    Hash,
    JobNumber,
    Side,
    jpeg_response,
    refuse_form,
)
from impasto.studio.schemas import FileView, RecipeView
from impasto.studio.studio import Studio

__all__ = ["add_clip_routes"]

MAX_CLIP_BYTES = 1000 * 1000 * 1000

VIDEO: dict[int | str, dict[str, Any]] = {200: {"content": {"video/mp4": {}, "video/webm": {}}}, **PARTIAL}

ClipName = Annotated[str, Query(description="The file's name.", max_length=1000)]
FrameNumber = Annotated[int, InPath(description="The number of the frame, from 0.", ge=0, lt=2**31)]


def add_clip_routes(app: FastAPI, studio: Studio) -> None:
    """Add clips: they are uploaded like pictures, and painted by `/api/jobs`."""
    _add_upload_routes(app, studio)
    _add_frame_routes(app, studio)
    _add_playback_routes(app, studio)


def _add_upload_routes(app: FastAPI, studio: Studio) -> None:
    clips = studio.clips

    @app.post("/api/clips", status_code=201, openapi_extra=BINARY, max_body_size=MAX_CLIP_BYTES)
    async def upload(request: Request, name: ClipName = "clip") -> ClipView:
        """Upload a clip as the body: what FFmpeg decodes, or an animated GIF or WebP."""
        refuse_form(request, "clip.mp4")
        view = await clips.upload(name, request.stream())
        recipe = await run_in_threadpool(has_clip_recipe, clips, view.sha256)
        return view.model_copy(update={"recipe": recipe})

    @app.get("/api/clips/{sha256}")
    def clip(sha256: Hash, name: ClipName = "clip") -> ClipView:
        """Return the size, the length and the frames of an uploaded clip."""
        return clips.view(sha256, name)

    @app.get("/api/clips/{sha256}/recipe")
    def clip_recipe(sha256: Hash) -> RecipeView:
        """Return the recipe inside an uploaded clip that Impasto painted."""
        return load_clip_recipe(clips, sha256)


def _add_frame_routes(app: FastAPI, studio: Studio) -> None:
    clips, shots = studio.clips, studio.shots

    @app.get("/api/clips/{sha256}/shots")
    def clip_shots(sha256: Hash) -> ShotsView:
        """Return the shots of a clip, or how far the search for them has come."""
        return shots.view(sha256)

    @app.get("/api/clips/{sha256}/frames/{number}", responses=JPEG, response_class=Response)
    def frame(sha256: Hash, number: FrameNumber, side: Side = 512) -> Response:
        """Return a small JPEG of a frame."""
        return jpeg_response(clips.thumbnail(sha256, number, side), CACHE_FOREVER)

    @app.post("/api/clips/{sha256}/frames/{number}", status_code=201)
    def store_frame(sha256: Hash, number: FrameNumber, name: ClipName = "clip") -> FileView:
        """Store a frame as a picture, to paint it by itself."""
        return clips.store_frame(sha256, number, name)


def _add_playback_routes(app: FastAPI, studio: Studio) -> None:
    clips = studio.clips

    @app.get("/api/clips/{sha256}/video", responses=VIDEO, response_class=Response)
    async def video(sha256: Hash) -> FileResponse:
        """Return the clip if every browser plays it, otherwise a small copy, which takes a while at first."""
        path, kind = await clips.find_playable(sha256)
        return FileResponse(path, media_type=kind, headers=CACHE_FOREVER)

    @app.get("/api/jobs/{job}/video", responses=VIDEO, response_class=Response)
    async def result_video(job: JobNumber) -> FileResponse:
        """Return a finished clip, or what is painted of one that failed, in a form that every browser plays."""
        finished = await run_in_threadpool(studio.store.get, job)
        if finished.video is None:
            raise JobError(f"Job {job} is a picture. Its result is at /api/jobs/{job}/result.")
        path, kind = await clips.find_playable(clips.pictures.result(finished).name)
        return FileResponse(path, media_type=kind, headers=CACHE_FOREVER)
