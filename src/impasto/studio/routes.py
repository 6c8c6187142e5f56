"""What the REST API offers of pictures and of jobs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from impasto.jobs import UnknownJobError
from impasto.jobs.worker import ask_alpha
from impasto.studio.pictures import FORMATS, download_name, recalled
from impasto.studio.schemas import Alpha, FileView, JobView, PaintRequest, RecallView
from impasto.studio.studio import Studio

__all__ = ["add_jobs", "add_pictures"]

LONGEST_UPLOAD = 200 * 1000 * 1000
"""Bytes."""

FOREVER = {"cache-control": "private, max-age=31536000, immutable"}
"""What is named by its content never changes."""

A_DAY = {"cache-control": "private, max-age=86400"}

BINARY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}}

Number = Annotated[int, InPath(description="The job's number.", ge=1, lt=2**63)]
Hash = Annotated[str, InPath(description="The SHA-256 of an uploaded file.", pattern="^[0-9a-f]{64}$")]
Side = Annotated[int, Query(description="Long side in pixels at most.", ge=16, le=2048)]


def add_pictures(app: FastAPI, studio: Studio) -> None:
    """Uploads, samples, previews and results."""
    pictures, store = studio.pictures, studio.store

    @app.post("/api/files", status_code=201, openapi_extra=BINARY, max_body_size=LONGEST_UPLOAD)
    async def upload(
        request: Request, name: Annotated[str, Query(description="What it is called.", max_length=1000)] = "picture"
    ) -> FileView:
        """Upload a picture: JPEG, PNG, WebP, AVIF, TIFF or GIF, as the body."""
        return await pictures.upload(name, request.stream())

    @app.get("/api/files/{sha256}/look", responses=JPEG, response_class=Response)
    def look_at_file(sha256: Hash, side: Side = 512) -> Response:
        """A small JPEG of an uploaded picture."""
        return Response(pictures.look(pictures.file(sha256), side), media_type="image/jpeg", headers=FOREVER)

    @app.get("/api/files/{sha256}/recipe")
    def recipe(sha256: Hash) -> RecallView:
        """What painted an uploaded picture, if Impasto did."""
        pictures.file(sha256)
        return recalled(store, sha256)

    @app.get("/api/samples/{name}/look", responses=JPEG, response_class=Response)
    def look_at_sample(name: Annotated[str, InPath(max_length=40)], side: Side = 256) -> Response:
        """A small JPEG of a picture that ships."""
        source = pictures.sample(name, 512).pixels
        return Response(pictures.look(source, side), media_type="image/jpeg", headers=A_DAY)

    @app.get("/api/jobs/{job}/preview", responses=JPEG, response_class=Response)
    def preview(job: Number, version: Annotated[str, Query(max_length=40)] = "") -> Response:
        """The latest look of a job that is painted; `version` is for the browser's cache alone."""
        path = store.previews.path(store.get(job).id)
        try:
            return Response(path.read_bytes(), media_type="image/jpeg")
        except FileNotFoundError:
            raise UnknownJobError(f"Job {job} has no preview.") from None

    @app.get("/api/jobs/{job}/look", responses=JPEG, response_class=Response)
    def look_at_result(job: Number, side: Side = 1024) -> Response:
        """A small JPEG of a result."""
        return Response(pictures.look(pictures.result(store.get(job)), side), media_type="image/jpeg", headers=FOREVER)

    @app.get(
        "/api/jobs/{job}/result",
        responses={200: {"content": {kind: {} for kind in FORMATS.values()}}},
        response_class=Response,
    )
    def result(job: Number, format: Annotated[Literal["png", "jpeg", "webp", "tiff"], Query()] = "png") -> FileResponse:
        """A result as a file, with its recipe inside."""
        found = store.get(job)
        folder = tempfile.TemporaryDirectory(prefix="download-", dir=store.folder)
        try:
            path = pictures.written(found, format, Path(folder.name))
        except BaseException:
            folder.cleanup()
            raise
        return FileResponse(
            path,
            media_type=FORMATS[format],
            filename=download_name(found, format),
            background=BackgroundTask(folder.cleanup),
        )


def add_jobs(app: FastAPI, studio: Studio) -> None:
    """The queue."""
    store = studio.store

    @app.post("/api/jobs", status_code=201)
    def paint(asked: PaintRequest) -> JobView:
        """Put a picture into the queue."""
        return studio.paint(asked)

    @app.get("/api/jobs")
    def list_jobs() -> list[JobView]:
        """All jobs, oldest first."""
        return [JobView.of(job) for job in store.jobs()]

    @app.get("/api/jobs/{job}")
    def get_job(job: Number) -> JobView:
        """One job."""
        return JobView.of(store.get(job))

    @app.get("/api/jobs/{job}/losses")
    def losses(job: Number, after: Annotated[int, Query(ge=0, lt=2**63)] = 0) -> list[dict[str, float]]:
        """What each step came to, those after a step's number."""
        return store.losses(store.get(job).id, after=after)

    @app.post("/api/jobs/{job}/cancel")
    def cancel(job: Number) -> JobView:
        """End a job: at once if it waits, at its next step if it runs."""
        return JobView.of(store.cancel(job))

    @app.post("/api/jobs/{job}/pause")
    def pause(job: Number) -> JobView:
        """Let a job wait, from its next step on if it runs."""
        return JobView.of(store.hold(job))

    @app.post("/api/jobs/{job}/resume")
    def resume(job: Number) -> JobView:
        """Let a job that was paused go on, exactly where it was."""
        return JobView.of(store.release(job))

    @app.post("/api/jobs/{job}/retry")
    def retry(job: Number) -> JobView:
        """Put a job that failed or was cancelled back into the queue; it goes on where it was."""
        return JobView.of(store.retry(job))

    @app.post("/api/jobs/{job}/alpha")
    def change_alpha(job: Number, wanted: Alpha) -> JobView:
        """Let a job go on with another α, from its next step on."""
        return JobView.of(ask_alpha(store, job, wanted.alpha))

    @app.delete("/api/jobs/{job}", status_code=204, response_class=Response)
    def remove(job: Number) -> None:
        """Forget a job that does not run, and its picture."""
        store.remove(job)
        store.tidy()
