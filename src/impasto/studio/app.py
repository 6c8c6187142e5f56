"""The studio's web application: the page, and the REST API that it uses, over a queue.

Pages of other origins cannot reach it (see `guard`). Names that are sent never reach the disk, uploads are checked
before they are kept, and what goes wrong is one line, as everywhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from impasto import __version__
from impasto.errors import ImpastoError, OutputError, WeightsError
from impasto.jobs import BrokenQueueError, JobError, UnknownJobError
from impasto.studio.auth import COOKIE, Guard, SignInError
from impasto.studio.events import EventCursor
from impasto.studio.options import Form, form
from impasto.studio.routes import add_jobs, add_pictures
from impasto.studio.schemas import Problem, Token
from impasto.studio.studio import Studio

__all__ = ["create_app"]

PAGE = Path(str(resources.files(__package__).joinpath("page")))

LONGEST_JSON = 1 << 20
"""Bytes of a request that is no upload."""

A_MONTH_S = 30 * 24 * 3600

STATUS: dict[type[Exception], int] = {
    SignInError: 401,
    UnknownJobError: 404,
    BrokenQueueError: 503,
    JobError: 409,
    WeightsError: 409,
    OutputError: 507,
    ImpastoError: 422,
    OSError: 507,
}
"""What each error is on the wire; the first that fits."""


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
    _add_pages(app, studio)
    add_pictures(app, studio)
    add_jobs(app, studio)
    return app


def _add_pages(app: FastAPI, studio: Studio) -> None:
    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
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
        async for event in studio.watch.events(job, EventCursor.of(last_event_id)):
            yield event


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
