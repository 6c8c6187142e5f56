"""The web server of a studio."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

import uvicorn

from impasto.errors import ConfigError, ImpastoError
from impasto.studio.app import create_app
from impasto.studio.studio import Studio

__all__ = ["DEFAULT_PORT", "AddressInUseError", "Server", "find_address", "listen"]

DEFAULT_PORT = 8077

SHUTDOWN_TIMEOUT_S = 5

DRAW_DELAY_S = 5.0
"""Delay before the samples are drawn in the background. Drawing takes four seconds, and the page should load first."""


class AddressInUseError(ConfigError):
    """An address that another program listens on."""


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0 is any free one. Raises `ConfigError`, or `AddressInUseError`."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            if sys.platform != "win32":  # on Windows, a second server could take the port of the first
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            listening.listen(128)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        advice, kind = "Give --host an address of this machine.", ConfigError
        if error.errno == errno.EADDRINUSE:
            kind = AddressInUseError
            advice = "Another studio may be running there. Give another --port; 0 takes a free one."
        elif error.errno == errno.EACCES:
            advice = "Give a --port of 1024 or more; 0 takes a free one."
        raise kind(f"The studio cannot listen at {host}:{port}: {error.strerror or error}. {advice}") from error
    return listening


def find_address(listening: socket.socket) -> str:
    """Return the address to open in a browser."""
    host, port = listening.getsockname()[:2]
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}"


class Server(uvicorn.Server):
    """A web server that calls `on_ready` once it responds, and ends when `should_stop` returns True."""

    def __init__(
        self,
        studio: Studio,
        listening: socket.socket,
        on_ready: Callable[[], None] = lambda: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                create_app(studio),
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=bool(studio.policy.proxies),
                forwarded_allow_ips=list(studio.policy.proxies),
                timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
            )
        )
        self.studio, self.listening, self.on_ready, self.should_stop = studio, listening, on_ready, should_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start responding, and soon draw the samples in the background."""
        await super().startup(sockets)
        threading.Thread(target=self._draw_samples, daemon=True).start()
        self.on_ready()

    def _draw_samples(self) -> None:
        time.sleep(DRAW_DELAY_S)
        with contextlib.suppress(ImpastoError):  # the request for a sample reports it, such as a full disk
            self.studio.pictures.draw_samples()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop responding. Event streams are closed first, because they never end otherwise."""
        self.studio.close()
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Return True to end the server; called ten times a second."""
        return self.should_stop() or await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the caller."""
        yield
