"""The studio's web application: the page, and the REST API that it uses, over a queue.

Pages of other origins cannot reach it (see `guard`). Names that are sent never reach the disk, uploads are checked
before they are kept, and what goes wrong is one line, as everywhere.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Header, Query, Request, Response
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from fastapi.staticfiles import StaticFiles
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException

from impasto import __version__
from impasto.compose import session
from impasto.config import Config, RunOptions
from impasto.errors import ImpastoError, OutputError, WeightsError
from impasto.jobs import BrokenQueueError, JobError, JobStore, UnknownJobError
from impasto.jobs.work import ask_alpha, submit
from impasto.presets import PRESETS, load_preset
from impasto.studio.guard import COOKIE, Doors, Guard
from impasto.studio.options import RUN, Form, form
from impasto.studio.pictures import FORMATS, Pictures, download_name, recalled
from impasto.studio.views import Alpha, FileView, JobView, Problem, RecallView, Token
from impasto.studio.views import Request as Painting
from impasto.studio.watching import Seen, Watch

__all__ = ["Studio", "create_app"]

PAGE = Path(str(resources.files(__package__).joinpath("page")))

LONGEST_QUEUE = 1000
"""Jobs that wait at most. Ten thousand pictures are for `impasto batch`."""

LONGEST_JSON, LONGEST_UPLOAD = 1 << 20, 200 * 1000 * 1000
"""Bytes of a request."""

FOREVER = {"cache-control": "private, max-age=31536000, immutable"}
"""What is named by its content never changes."""

A_MONTH_S = 30 * 24 * 3600

A_DAY = {"cache-control": "private, max-age=86400"}


class SignInError(Exception):
    """Not the token."""


STATUS: dict[type[Exception], int] = {
    SignInError: 401,
    UnknownJobError: 404,
    BrokenQueueError: 503,
    JobError: 409,
    WeightsError: 409,
    OutputError: 507,
    ImpastoError: 422,
}
"""What each error is on the wire; the first that fits."""

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


@dataclass
class Studio:
    """What the application works with."""

    store: JobStore
    doors: Doors = field(default_factory=Doors)
    longest_queue: int = LONGEST_QUEUE

    def __post_init__(self) -> None:
        self.pictures = Pictures(self.store)
        self.watch = Watch(self.store)

    def paint(self, asked: Painting) -> JobView:
        """Put a picture into the queue. Raises `ImpastoError`."""
        if sum(job.state == "queued" for job in self.store.jobs()) >= self.longest_queue:
            raise JobError(f"{self.longest_queue} pictures wait already. Let some of them be painted first.")
        if asked.preset not in PRESETS:  # never a path
            raise JobError(f"There is no preset {asked.preset!r}. There are {', '.join(PRESETS)}.")
        given = {name: value for name, value in asked.config.items() if value != ""}  # a field that was left empty
        config = Config(**(load_preset(asked.preset).model_dump(exclude_unset=True) | given))
        run = RunOptions(**_only(asked.run, RUN))

        def pictures(refs: list[Any]) -> list[Any]:
            return [self.pictures.source(ref, config.size) for ref in refs]

        start = {"init": self.pictures.source(asked.init, config.size)} if asked.init is not None else {}
        ready = session(
            self.pictures.source(asked.content, config.size),
            pictures(asked.styles),
            config,
            content_masks=pictures(asked.content_masks),
            style_masks=pictures(asked.style_masks),
            protect=self.pictures.source(asked.protect, config.size) if asked.protect is not None else None,
            **start,
            **run.model_dump(exclude_unset=True),
        )
        ready.work  # noqa: B018 - finds out whether they go together
        return JobView.of(submit(self.store, ready.inputs, ready.config, ready.run, priority=asked.priority))


def create_app(studio: Studio) -> FastAPI:
    """The application of a studio."""
    problems: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem} for status in (401, 403, 404, 409, 413, 421, 422, 503, 507)
    }
    app = FastAPI(
        title="Impasto studio",
        version=__version__,
        summary="Neural style transfer as a service on this machine.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        max_body_size=LONGEST_JSON,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        responses=problems,
    )
    app.add_middleware(Guard, doors=studio.doors)
    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    for kind in STATUS:
        app.add_exception_handler(kind, _told)
    for kind in (RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _told)
    _pages(app, studio)
    _pictures(app, studio)
    _jobs(app, studio)
    return app


def _pages(app: FastAPI, studio: Studio) -> None:
    @app.get("/", include_in_schema=False)
    def page(request: Request) -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/api/docs", include_in_schema=False)
    def docs() -> FileResponse:
        return FileResponse(PAGE / "docs.html")

    @app.get("/api/health")
    def health() -> dict[str, str]:
        """Whether anyone is here, and which version."""
        return {"version": __version__}

    @app.post("/api/session", status_code=204, response_class=Response)
    def sign_in(token: Token, response: Response) -> None:
        """Exchange the token for a cookie, which the browser sends along from now on."""
        if not studio.doors.opens(token.token):
            raise SignInError("That is not the token.")
        if studio.doors.token is not None:
            response.set_cookie(COOKIE, token.token, httponly=True, samesite="strict", max_age=A_MONTH_S)

    @app.get("/api/options")
    def options() -> Form:
        """Options with their help, presets, samples, and the networks whose weights are here."""
        return form()

    @app.get("/api/events", response_class=EventSourceResponse)
    async def events(
        job: Annotated[int | None, Query(description="A job to watch more closely.", ge=1, lt=2**63)] = None,
        last_event_id: Annotated[str | None, Header(description="Where to go on.", max_length=100)] = None,
    ) -> AsyncIterator[ServerSentEvent]:
        """What happens, as server-sent events: `jobs`, and for the watched one `losses` and `preview`."""
        async for event in studio.watch.events(job, Seen.of(last_event_id)):
            yield event


def _pictures(app: FastAPI, studio: Studio) -> None:
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
        return Response(
            pictures.look(source, side), media_type="image/jpeg", headers={"cache-control": "private, max-age=86400"}
        )

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


def _jobs(app: FastAPI, studio: Studio) -> None:
    store = studio.store

    @app.post("/api/jobs", status_code=201)
    def paint(asked: Painting) -> JobView:
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


def _only(given: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    if strange := ", ".join(sorted(given.keys() - set(names))):
        raise JobError(f"{strange}: not for a page to decide. It may give {', '.join(names)}.")
    return given


async def _told(request: Request, error: Exception) -> Response:
    """Any error of ours as one line of JSON."""
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return JSONResponse({"error": f"{where}: {first['msg']}"}, 422)
    if isinstance(error, HTTPException):
        return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)
    status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)
    return JSONResponse({"error": " ".join(str(error).split())}, status)
