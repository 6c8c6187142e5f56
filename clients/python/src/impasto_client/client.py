"""The client: upload pictures and clips, submit jobs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from impasto_client.errors import RequestError, StudioError, VersionError
from impasto_client.http import Transport
from impasto_client.job import Job
from impasto_client.local import LocalStudio
from impasto_client.pictures import (
    Clip,
    ClipSource,
    Picture,
    Source,
    clip_reference,
    profile_reference,
    reference,
    upload,
    upload_clip,
)
from impasto_client.watch import read_job

__all__ = ["API_VERSION", "DEFAULT_URL", "PRESETS", "Client"]

API_VERSION = 1
"""Version of the studio's API that this client speaks."""

SCORE_TIMEOUT_S = 600.0
"""One megapixel takes seconds, a studio scores one picture at a time, and answers when it is done."""

CLIP_TIMEOUT_S = 3600.0
"""Finding the shots of a clip takes up to a tenth of a second for each frame in HD."""

DEFAULT_URL = "http://127.0.0.1:8077"

PROFILE_SUFFIXES = (".icc", ".icm")


PRESETS = (
    "painterly",
    "neighbor",
    "faithful",
    "sketch",
    "abstract",
    "texture",
    "classic",
    "textbook",
    "gatys2016",
    "neural-style",
    "pastiche",
    "crowsonkb",
    "pytorch-tutorial",
)
"""The presets of a studio of this version, for programs that show them before they connect."""


class Client:
    """A studio, by its address. Its methods may be called from several threads.

    `token` is the one that the studio was started with, if any. `timeout_s` limits each request, but not how long a job
    takes. All methods raise `StudioError`.
    """

    def __init__(self, url: str = DEFAULT_URL, token: str | None = None, timeout_s: float = 60.0) -> None:
        self._transport = Transport(url, token, timeout_s)
        self._studio: LocalStudio | None = None
        self._form: dict[str, Any] | None = None

    @classmethod
    def local(
        cls,
        *,
        data_dir: str | None = None,
        command: list[str] | None = None,
        workers: int = 1,
        timeout_s: float = 60.0,
        start_timeout_s: float = 120.0,
    ) -> Client:
        """Start a studio on a free port, with a token, and return a client for it. `close` ends it.

        `data_dir` is the folder of its queue; by default the user's. `command` runs Impasto, if it is neither in this
        Python nor on PATH. Raises `NotInstalledError` or `StartError`.
        """
        studio = LocalStudio.start(data_dir, command, workers, start_timeout_s)
        client = cls(studio.url, studio.token, timeout_s)
        client._studio = studio
        return client

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    @property
    def url(self) -> str:
        """The address of the studio."""
        return self._transport.url

    def close(self) -> None:
        """End the studio that `local` started; unfinished jobs stay in its queue. Other studios are left alone."""
        if self._studio is not None:
            self._studio.stop()
            self._studio = None

    def check(self) -> str:
        """Return the version of Impasto that runs the studio.

        Raises `NoStudioError` if none answers, and `VersionError` if its API has another version than this client.
        """
        try:
            health = self._transport.call("GET", "/api/health")
            version, api = health["version"], health.get("api", 0)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StudioError(f"What answers at {self.url} is no Impasto studio. Give the address of one.") from error
        except RequestError as error:
            if error.status in (403, 421):  # a studio, behind another name
                raise
            raise StudioError(f"What answers at {self.url} is no Impasto studio: {error}") from error
        if api != API_VERSION:
            name = "impasto" if api < API_VERSION else "impasto-client"
            raise VersionError(
                f"The studio at {self.url} (Impasto {version}) has version {api} of the API, and this client speaks "
                f"version {API_VERSION}. Upgrade {name}: pip install --upgrade {name}"
            )
        return str(version)

    def options(self) -> dict[str, Any]:
        """Return all options with their help and range, the presets, the samples and the networks."""
        form: dict[str, Any] = self._transport.call("GET", "/api/options")
        return form

    def upload(self, picture: Source, name: str = "") -> Picture:
        """Upload a file, or the bytes of one, to use it in several jobs. `name` is only displayed."""
        return upload(self._transport, picture, name)

    def submit(
        self,
        content: Source,
        styles: Source | Iterable[Source],
        *,
        init: Source | None = None,
        content_masks: Iterable[Source] = (),
        style_masks: Iterable[Source] = (),
        protect: Source | None = None,
        preset: str = "painterly",
        priority: int = 0,
        **options: Any,
    ) -> Job:
        """Add a picture to the queue.

        Pictures and masks are paths, bytes, `sample:NAME` or uploaded pictures. `options` are those of Impasto, such as
        size=512 or bits=16; `profile` may be a file. The studio checks them: it raises `RequestError` with its message.
        """
        self.check()
        send = self._transport
        request: dict[str, Any] = {"preset": preset, "priority": priority}
        profile = options.get("profile")
        if isinstance(profile, bytes) or (profile is not None and str(profile).lower().endswith(PROFILE_SUFFIXES)):
            request["profile"] = profile_reference(send, options.pop("profile"))
        request["run"] = self._take_options("run", options)
        request["config"] = options
        request["content"] = reference(send, content)
        if init is not None:
            request["init"] = reference(send, init)
        return self._add(request, styles, content_masks, style_masks, protect)

    def upload_clip(self, clip: ClipSource, name: str = "") -> Clip:
        """Upload a video, or an animated GIF or WebP, to use it in several jobs. `name` is only displayed."""
        return upload_clip(self._transport, clip, name)

    def submit_clip(
        self,
        clip: ClipSource,
        styles: Source | Iterable[Source],
        *,
        content_masks: Iterable[Source] = (),
        style_masks: Iterable[Source] = (),
        protect: Source | None = None,
        preset: str = "painterly",
        priority: int = 0,
        **options: Any,
    ) -> Job:
        """Add a clip to the queue, once the studio has found its shots.

        The clip is a path, bytes or an uploaded clip. `options` are those of pictures and of clips, such as size=512 or
        every=2. Raises `RequestError` with the studio's message.
        """
        self.check()
        send = self._transport.with_patience(CLIP_TIMEOUT_S)
        request: dict[str, Any] = {"preset": preset, "priority": priority}
        request["video"] = self._take_options("video", options)
        request["run"] = self._take_options("run", options)
        request["config"] = options
        request["content"] = clip_reference(send, clip)
        return self._add(request, styles, content_masks, style_masks, protect, send)

    def paint_clip(self, clip: ClipSource, styles: Source | Iterable[Source], **options: Any) -> bytes:
        """Paint a clip and return it as MP4. Takes the arguments of `submit_clip`."""
        return self.submit_clip(clip, styles, **options).result()

    def paint(self, content: Source, styles: Source | Iterable[Source], **options: Any) -> bytes:
        """Paint a picture and return it as PNG. Takes the arguments of `submit`."""
        return self.submit(content, styles, **options).result()

    def score(self, content: Source, style: Source, image: Source, *, wrap: str = "none") -> dict[str, float]:
        """Score a picture against its content and style: numbers by name, lower is better.

        `wrap` names the edges that are to meet: x, y or both. The studio must have the networks that judge; its
        message says how to get them.
        """
        self.check()
        pictures = {"content": content, "style": style, "image": image}
        request = {name: reference(self._transport, picture) for name, picture in pictures.items()}
        patient = self._transport.with_patience(SCORE_TIMEOUT_S)
        scores: dict[str, float] = patient.call("POST", "/api/scores", {**request, "wrap": wrap})
        return scores

    def job(self, number: int) -> Job:
        """Return a job of the queue by its number. Raises `JobError` if there is none."""
        return Job(self._transport, read_job(self._transport, int(number)))

    def jobs(self) -> list[Job]:
        """Return all jobs, oldest first."""
        return [Job(self._transport, view) for view in self._transport.call("GET", "/api/jobs")]

    def _add(
        self,
        request: dict[str, Any],
        styles: Source | Iterable[Source],
        content_masks: Iterable[Source],
        style_masks: Iterable[Source],
        protect: Source | None,
        transport: Transport | None = None,
    ) -> Job:
        """Add the pictures beside the content to a request, and send it."""
        send = self._transport
        request["styles"] = _references(send, styles)
        request["content_masks"] = _references(send, content_masks)
        request["style_masks"] = _references(send, style_masks)
        if protect is not None:
            request["protect"] = reference(send, protect)
        return Job(send, (transport or send).call("POST", "/api/jobs", request))

    def _take_options(self, kind: str, options: dict[str, Any]) -> dict[str, Any]:
        """Remove the options of a kind, which the studio takes apart from the rest, and return them."""
        if not options:
            return {}
        if self._form is None:
            self._form = self.options()
        names = {field["name"] for field in self._form.get(kind, ())}
        return {name: options.pop(name) for name in list(options) if name in names}


def _references(transport: Transport, pictures: Source | Iterable[Source]) -> list[dict[str, Any]]:
    if isinstance(pictures, (str, bytes, Picture)) or hasattr(pictures, "__fspath__"):
        return [reference(transport, pictures)]  # type: ignore[arg-type]
    return [reference(transport, picture) for picture in pictures]
