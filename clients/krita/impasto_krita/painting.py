"""One painting, in a thread of its own. This module knows neither Krita nor Qt."""

from __future__ import annotations

import json
import queue
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

from impasto_client import Cancelled, Client, Done, Failed, Job, NoStudioError, Preview, Progress, StudioError

__all__ = ["Ended", "Message", "Painting", "Picture", "Request", "Studios"]

COMMAND = Path(__file__).with_name("command.json")


@dataclass(frozen=True)
class Request:
    """The request of a painting: pictures as files or bytes, the part to protect, and options."""

    content: bytes
    style: str | bytes
    protect: bytes | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """A line for the panel, and the share of the work that is done, if it is known."""

    text: str
    fraction: float = 0.0


@dataclass(frozen=True)
class Picture:
    """The picture as it is now, or the finished one."""

    content: bytes
    is_finished: bool


@dataclass(frozen=True)
class Ended:
    """The end of the painting, and the reason if there is no picture."""

    text: str
    is_error: bool = False


class Studios:
    """The studio of the panel: one that runs, or else one that is started for it and ended by `close`."""

    def __init__(self) -> None:
        self._own: Client | None = None
        self._lock = threading.Lock()

    def connect(self, url: str, token: str | None, say: Callable[[Any], None]) -> Client:
        """Return the studio at an address, or an own one if none answers there. Raises `StudioError`."""
        with self._lock:
            client = Client(url, token)
            try:
                client.check()
                return client
            except NoStudioError:
                return self._start(say)

    def close(self) -> None:
        """End the own studio."""
        with self._lock:
            if self._own is not None:
                self._own.close()
                self._own = None

    def _start(self, say: Callable[[Any], None]) -> Client:
        if self._own is not None:
            try:
                self._own.check()
                return self._own
            except StudioError:
                self._own.close()
        say(Message("Starting a studio…"))
        self._own = Client.local(command=_read_command())
        return self._own


class Painting:
    """A request that is being painted. The interface calls `poll` now and then; nothing here waits for the studio."""

    def __init__(self, studios: Studios, url: str, token: str | None, request: Request) -> None:
        self._studios, self._url, self._token = studios, url, token
        self._request = request
        self._events: queue.Queue[Any] = queue.Queue()
        self._commands: queue.Queue[Callable[[Job], None]] = queue.Queue()
        threading.Thread(target=self._run, name="impasto-painting", daemon=True).start()

    def poll(self) -> list[Message | Picture | Ended]:
        """Return what has happened since the last call. Of several pictures only the last one is returned."""
        events: list[Message | Picture | Ended] = []
        while not self._events.empty():
            event = self._events.get()
            events = [old for old in events if type(old) is not type(event)]
            events.append(event)
        return events

    def set_alpha(self, alpha: float) -> None:
        """Change α after the current step."""
        self._commands.put(lambda job: job.set_alpha(alpha))

    def cancel(self) -> None:
        """Cancel the painting after its current step."""
        self._commands.put(lambda job: job.cancel())

    def _run(self) -> None:
        try:
            self._events.put(Message("Connecting…"))
            client = self._studios.connect(self._url, self._token, self._events.put)
            self._events.put(Message("Sending the pictures…"))
            request = self._request
            job = client.submit(request.content, request.style, protect=request.protect, **request.options)
            self._follow(job)
        except StudioError as error:
            self._events.put(Ended(str(error), is_error=True))
        except Exception as error:  # an exception in a thread would be lost
            self._events.put(Ended(f"{type(error).__name__}: {error}", is_error=True))

    def _follow(self, job: Job) -> None:
        for event in job.watch(every_s=0.2):
            self._obey(job)
            if isinstance(event, Preview):
                self._events.put(Picture(event.jpeg, is_finished=False))
            elif isinstance(event, Progress):
                self._events.put(_describe(event))
            elif isinstance(event, Done):
                self._events.put(Picture(job.result(), is_finished=True))
                self._events.put(Ended(f"Painted in {event.seconds:.0f} s."))
            elif isinstance(event, Failed):
                self._events.put(Ended(event.message, is_error=True))
            elif isinstance(event, Cancelled):
                self._events.put(Ended("Cancelled."))

    def _obey(self, job: Job) -> None:
        """Send the commands that the user gave since the last call."""
        while not self._commands.empty():
            command = self._commands.get()
            try:
                command(job)
            except StudioError as error:  # such as a job that has just ended
                self._events.put(Message(str(error)))


def _read_command() -> list[str] | None:
    """Return the command of the Impasto that has installed this plug-in, or None: it may be on PATH."""
    try:
        command: list[str] = json.loads(COMMAND.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return command if Path(command[0]).exists() else None


def _describe(progress: Progress) -> Message:
    if progress.state == "queued":
        return Message("Waiting for other paintings…")
    if progress.state in ("paused", "pausing", "cancelling"):
        return Message(f"{progress.state.capitalize()}…", progress.fraction)
    if not progress.steps:
        return Message("Preparing…")
    remaining = "" if progress.remaining_s is None else f", {progress.remaining_s:.0f} s left"
    return Message(f"Step {progress.step} of {progress.steps}{remaining}", progress.fraction)
