"""The studio as a program: a web server that listens where it may, and ends when it should."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn

from impasto.errors import ConfigError, ImpastoError
from impasto.studio.app import create_app
from impasto.studio.studio import Studio

__all__ = ["Server", "listen"]


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there, or on any free port where `port` is 0. Raises `ConfigError`."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(128)
    except OSError as error:
        advice = "Give --host an address of this machine."
        if error.errno == errno.EADDRINUSE:
            advice = "Is a studio open there already? Give another --port; 0 takes a free one."
        elif error.errno == errno.EACCES:
            advice = "Give a --port of 1024 or more; 0 takes a free one."
        raise ConfigError(f"{host}:{port} cannot be listened at: {error.strerror or error}. {advice}") from error
    return found


class Server(uvicorn.Server):
    """The web server of a studio. `ready` is called once it answers; it ends when `stopped` says so."""

    def __init__(
        self,
        studio: Studio,
        listening: socket.socket,
        ready: Callable[[], None] = lambda: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                create_app(studio),
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=5,
            )
        )
        self.studio, self.listening, self.ready, self.stopped = studio, listening, ready, stopped

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        host, port = self.listening.getsockname()[:2]
        name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
        return f"http://{name}:{port}"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and draw meanwhile what the page will show first."""
        await super().startup(sockets)
        threading.Thread(target=self._draw, daemon=True).start()
        self.ready()

    def _draw(self) -> None:
        with contextlib.suppress(ImpastoError):  # a full disk: whoever asks for one is told
            self.studio.pictures.draw_samples()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer no more. Streams of events would not end by themselves."""
        self.studio.watch.closed = True
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to end."""
        return self.stopped() or await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for whoever runs the server."""
        yield
