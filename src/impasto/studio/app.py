"""The web application: the page, and the REST API that it uses.

Pages of other sites cannot reach it (see `auth`). File names from clients never reach the disk, uploads are checked
before they are stored, and every error is one line of JSON.
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
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from impasto import __version__
from impasto.errors import ImpastoError, OutputError, WeightsError
from impasto.jobs import BrokenQueueError, JobError, UnknownJobError
from impasto.render.html import PANORAMA_SCRIPT
from impasto.studio.auth import COOKIE, AccessMiddleware, SignInError
from impasto.studio.clip_routes import add_clip_routes
from impasto.studio.events import EventCursor
from impasto.studio.options import Form, form
from impasto.studio.routes import add_job_routes, add_picture_routes, add_sketch_routes
from impasto.studio.schemas import API_VERSION, Health, Problem, Token
from impasto.studio.studio import Studio

__all__ = ["create_app"]

PAGE = Path(str(resources.files(__package__).joinpath("page")))

MAX_JSON_BYTES = 1 << 20
"""Maximum size of a request that is not an upload."""

EVENTS_PATH = "/api/events"

COOKIE_AGE_S = 30 * 24 * 3600

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
"""HTTP status of each error. The first that matches is used."""


def create_app(studio: Studio) -> FastAPI:
    """Build the web application of a studio."""
    problems: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem} for status in (401, 403, 404, 409, 413, 415, 421, 422, 503, 507)
    }
    app = FastAPI(
        title="Impasto studio",
        version=__version__,
        summary="Neural style transfer as a service on this machine.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        max_body_size=MAX_JSON_BYTES,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        responses=problems,
    )
    app.add_middleware(HeadMiddleware)
    app.add_middleware(AccessMiddleware, policy=studio.policy)
    _add_viewer_route(app)
    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    for kind in (*STATUS, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _to_json)
    _add_page_routes(app)
    _add_session_routes(app, studio)
    add_picture_routes(app, studio)
    add_sketch_routes(app, studio)
    add_clip_routes(app, studio)
    add_job_routes(app, studio)
    return app


def _add_viewer_route(app: FastAPI) -> None:
    """Serve the viewer of panoramas, which reports embed too, among the files of the page."""

    @app.get("/page/panorama.js", include_in_schema=False)
    def viewer() -> FileResponse:
        return FileResponse(PANORAMA_SCRIPT, media_type="text/javascript")


def _add_page_routes(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/api/docs", include_in_schema=False)
    def docs() -> FileResponse:
        return FileResponse(PAGE / "docs.html")

    @app.get("/api/health")
    def health() -> Health:
        """Return the versions of Impasto and of this API, to show that the studio is running."""
        return Health(version=__version__, api=API_VERSION)

    @app.get("/api/options")
    def options() -> Form:
        """Return all options with their help, the presets and samples, and which networks have their weights here."""
        return form()


def _add_session_routes(app: FastAPI, studio: Studio) -> None:
    @app.post("/api/session", status_code=204, response_class=Response)
    def sign_in(token: Token, request: Request, response: Response) -> None:
        """Exchange the token for a cookie that signs in later requests."""
        if not studio.policy.accepts_token(token.token):
            raise SignInError("The token is wrong. It is the one that the studio was started with.")
        if studio.policy.token is not None:
            is_https = request.url.scheme == "https"
            response.set_cookie(
                COOKIE, token.token, httponly=True, samesite="strict", secure=is_https, max_age=COOKIE_AGE_S
            )

    @app.get(EVENTS_PATH, response_class=EventSourceResponse)
    async def events(
        job: Annotated[int | None, Query(description="A job to follow in detail.", ge=1, lt=2**63)] = None,
        last_event_id: Annotated[str | None, Header(description="Continue after this event.", max_length=100)] = None,
    ) -> AsyncIterator[ServerSentEvent]:
        """Stream changes as server-sent events: `jobs`, and for one job `losses` and `preview`."""
        async for event in studio.events.stream(job, EventCursor.parse(last_event_id)):
            yield event


class HeadMiddleware:
    """ASGI middleware that answers HEAD as GET without a body, as HTTP asks (RFC 9110, 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. The event stream never ends, so HEAD is refused there."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or scope["path"] == EVENTS_PATH:
            await self.app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self.app({**scope, "method": "GET"}, receive, send_without_body)


async def _to_json(request: Request, error: Exception) -> Response:
    """Convert an error to one line of JSON."""
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return JSONResponse({"error": f"{where}: {first['msg']}"}, 422)
    if isinstance(error, HTTPException):
        return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)
    status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)
    return JSONResponse({"error": " ".join(str(error).split())}, status)
