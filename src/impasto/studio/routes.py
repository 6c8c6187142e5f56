"""The REST API for pictures and for jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from impasto.files import ScratchFolder
from impasto.jobs import Job, JobError, UnknownJobError
from impasto.jobs.submit import set_job_alpha
from impasto.studio.pictures import FORMATS, SUFFIXES, download_name, load_recipe
from impasto.studio.schemas import Alpha, FileView, JobView, PaintRequest, ProfileView, RecipeView, ScoreRequest
from impasto.studio.scores import compute_score
from impasto.studio.studio import Studio

__all__ = [
    "BINARY",
    "CACHE_FOREVER",
    "JPEG",
    "PARTIAL",
    "Hash",
    "JobNumber",
    "Side",
    "add_job_routes",
    "add_picture_routes",
    "add_sketch_routes",
    "jpeg_response",
    "refuse_form",
]

MAX_UPLOAD_BYTES = 200 * 1000 * 1000
MAX_PROFILE_BYTES = 16 * 1000 * 1000
"""A press profile has 0.5 to 4 MB."""

CACHE_FOREVER = {"cache-control": "private, max-age=31536000, immutable"}
"""For content that is addressed by its hash, which never changes."""

CACHE_A_DAY = {"cache-control": "private, max-age=86400"}

BINARY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}}

CLIP_TYPES = {
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
PARTIAL: dict[int | str, dict[str, Any]] = {206: {"description": "The range of bytes that the header `Range` names."}}

SKETCH = JPEG | {202: {"description": "It is not painted yet. Ask again."}}

JobNumber = Annotated[int, InPath(description="The number of the job.", ge=1, lt=2**63)]
Hash = Annotated[str, InPath(description="The SHA-256 of an uploaded file.", pattern="^[0-9a-f]{64}$")]
Wait = Annotated[float, Query(description="Maximum seconds to wait for the picture.", ge=0, le=60)]
Side = Annotated[int, Query(description="Maximum long side in pixels.", ge=16, le=4096)]


def add_picture_routes(app: FastAPI, studio: Studio) -> None:
    """Add uploads, samples, recipes and scores."""
    pictures = studio.pictures

    @app.post("/api/files", status_code=201, openapi_extra=BINARY, max_body_size=MAX_UPLOAD_BYTES)
    async def upload(
        request: Request, name: Annotated[str, Query(description="The file's name.", max_length=1000)] = "picture"
    ) -> FileView:
        """Upload a picture as the body: JPEG, PNG, WebP, AVIF, TIFF, GIF, PSD or OpenEXR."""
        refuse_form(request, "photo.jpg")
        return await pictures.upload(name, request.stream())

    @app.post("/api/profiles", status_code=201, openapi_extra=BINARY, max_body_size=MAX_PROFILE_BYTES)
    async def upload_profile(
        request: Request, name: Annotated[str, Query(description="The file's name.", max_length=1000)] = "profile.icc"
    ) -> ProfileView:
        """Upload the color profile of a printer and paper as the body, for `profile` of a job."""
        refuse_form(request, "paper.icc")
        return await pictures.upload_profile(name, request.stream())

    @app.get("/api/files/{sha256}/thumbnail", responses=JPEG, response_class=Response)
    def file_thumbnail(sha256: Hash, side: Side = 512) -> Response:
        """Return a small JPEG of an uploaded picture."""
        return jpeg_response(pictures.thumbnail(pictures.file(sha256), side), CACHE_FOREVER)

    @app.get("/api/files/{sha256}/recipe")
    def recipe(sha256: Hash) -> RecipeView:
        """Return the recipe inside an uploaded picture that Impasto painted."""
        pictures.file(sha256)
        return load_recipe(studio.store, sha256)

    @app.post("/api/scores")
    def score(request: ScoreRequest) -> dict[str, float]:
        """Score a picture against its content and style; lower is better. `impasto score` explains the numbers."""
        return compute_score(pictures, request)

    @app.get("/api/samples/{name}/thumbnail", responses=JPEG, response_class=Response)
    def sample_thumbnail(name: Annotated[str, InPath(max_length=40)], side: Side = 256) -> Response:
        """Return a small JPEG of a sample."""
        return jpeg_response(pictures.sample_thumbnail(name, side), CACHE_A_DAY)


def add_sketch_routes(app: FastAPI, studio: Studio) -> None:
    """Add sketches: small pictures of a pair, before it is painted."""

    @app.post("/api/sketches", responses=SKETCH, response_class=Response)
    async def sketch(paint: PaintRequest, request: Request, wait: Wait = 25.0) -> Response:
        """Return a small JPEG of what a request would paint, after a few steps. It waits while the queue is busy.

        The size and the number of steps are fixed, and `run` and `priority` are ignored. To cancel, close the
        connection.
        """

        async def is_wanted() -> bool:
            return not (studio.events.closed or await request.is_disconnected())

        content = await studio.sketches.paint(paint, wait, is_wanted)
        return Response(status_code=202) if content is None else jpeg_response(content)


def add_job_routes(app: FastAPI, studio: Studio) -> None:
    """Add the queue: new jobs, lists, actions, results."""
    _add_reading_routes(app, studio)
    _add_preview_routes(app, studio)
    _add_result_routes(app, studio)
    _add_action_routes(app, studio)


def _add_reading_routes(app: FastAPI, studio: Studio) -> None:
    store = studio.store

    @app.get("/api/jobs")
    def list_jobs() -> list[JobView]:
        """Return all jobs, oldest first."""
        return [JobView.of(job) for job in store.jobs()]

    @app.get("/api/jobs/{job}")
    def get_job(job: JobNumber) -> JobView:
        """Return one job."""
        return JobView.of(store.get(job))

    @app.get("/api/jobs/{job}/losses")
    def losses(job: JobNumber, after: Annotated[int, Query(ge=0, lt=2**63)] = 0) -> list[dict[str, float]]:
        """Return the losses of each step after a given one."""
        return store.losses(store.get(job).id, after=after)


def _add_preview_routes(app: FastAPI, studio: Studio) -> None:
    pictures, store = studio.pictures, studio.store

    @app.get("/api/jobs/{job}/preview", responses=JPEG, response_class=Response)
    def preview(job: JobNumber, version: Annotated[str, Query(max_length=40)] = "") -> Response:
        """Return the latest preview of a running job. `version` only serves the browser's cache."""
        path = store.previews.path(store.get(job).id)
        try:
            return jpeg_response(path.read_bytes())
        except FileNotFoundError:
            raise UnknownJobError(f"Job {job} has no preview yet. Wait for its first step.") from None

    @app.get("/api/jobs/{job}/thumbnail", responses=JPEG, response_class=Response)
    def result_thumbnail(job: JobNumber, side: Side = 1024) -> Response:
        """Return a small JPEG of a finished picture, or of the first frame of a clip."""
        finished = store.get(job)
        path = pictures.result(finished)
        if finished.video is not None:
            return jpeg_response(studio.clips.thumbnail(path.name, 0, side), CACHE_FOREVER)
        return jpeg_response(pictures.thumbnail(path, side), CACHE_FOREVER)


def _add_result_routes(app: FastAPI, studio: Studio) -> None:
    pictures, store = studio.pictures, studio.store

    @app.get(
        "/api/jobs/{job}/result",
        responses={200: {"content": {kind: {} for kind in (*FORMATS.values(), *CLIP_TYPES.values())}}, **PARTIAL},
        response_class=Response,
    )
    def result(
        job: JobNumber, format: Annotated[Literal["png", "jpeg", "webp", "tiff", "exr"] | None, Query()] = None
    ) -> FileResponse:
        """Return a finished picture as a file with its recipe inside, PNG by default; a clip in its own format."""
        finished = store.get(job)
        if finished.video is not None:
            return _clip_response(finished, pictures.result(finished), format)
        format = format or "png"
        folder = ScratchFolder(store.folder)
        try:
            path = pictures.convert_result(finished, format, folder.path)
        except BaseException:
            folder.cleanup()
            raise
        return FileResponse(
            path,
            media_type=FORMATS[format],
            filename=download_name(finished, SUFFIXES[format]),
            background=BackgroundTask(folder.cleanup),
        )


def _clip_response(job: Job, path: Path, kind: str | None) -> FileResponse:
    """Return a finished clip as a file."""
    if kind is not None:
        raise JobError(f"Job {job.id} is a clip, which is not converted to {kind}. Leave format out.")
    suffix = str((job.result or {})["suffix"])
    return FileResponse(path, media_type=CLIP_TYPES[suffix], filename=download_name(job, suffix))


def _add_action_routes(app: FastAPI, studio: Studio) -> None:
    store = studio.store

    @app.post("/api/jobs", status_code=201)
    def submit(request: PaintRequest) -> JobView:
        """Add a picture to the queue, or a clip, whose shots are found first."""
        return studio.submit(request)

    @app.post("/api/jobs/{job}/cancel")
    def cancel(job: JobNumber) -> JobView:
        """Cancel a job: at once if it is waiting, after its current step if it is running."""
        return JobView.of(store.cancel(job))

    @app.post("/api/jobs/{job}/pause")
    def pause(job: JobNumber) -> JobView:
        """Pause a job, after its current step if it is running."""
        return JobView.of(store.pause(job))

    @app.post("/api/jobs/{job}/resume")
    def resume(job: JobNumber) -> JobView:
        """Resume a paused job where it stopped."""
        return JobView.of(store.resume(job))

    @app.post("/api/jobs/{job}/retry")
    def retry(job: JobNumber) -> JobView:
        """Put a failed or cancelled job back into the queue. It continues where it stopped."""
        return JobView.of(store.retry(job))

    @app.post("/api/jobs/{job}/alpha")
    def change_alpha(job: JobNumber, change: Alpha) -> JobView:
        """Change α of a job after its current step."""
        return JobView.of(set_job_alpha(store, job, change.alpha))

    @app.delete("/api/jobs/{job}", status_code=204, response_class=Response)
    def remove(job: JobNumber) -> None:
        """Remove a job that is not running, and its picture."""
        store.remove(job)
        store.remove_unused_files()
        studio.clips.remove_unused()


def refuse_form(request: Request, example: str) -> None:
    """Raise an error that shows how to send a file, if it was sent as a form."""
    if request.headers.get("content-type", "").startswith("multipart/"):
        url = request.url.include_query_params(name=example)
        raise HTTPException(415, f"Send the file as the body, not as a form: curl --data-binary @{example} '{url}'")


def jpeg_response(content: bytes, headers: dict[str, str] | None = None) -> Response:
    """Return a JPEG as a response."""
    return Response(content, media_type="image/jpeg", headers=headers)
