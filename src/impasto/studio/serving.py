"""The studio as programs: a server, and the workers that it keeps alive.

Each is a process of its own. When the server is gone, however it went, its workers find their standing input ended,
leave their jobs where they are, exactly, and end; the next server's workers go on with them.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import uvicorn

from impasto.errors import ConfigError
from impasto.jobs import JobError, JobStore
from impasto.jobs.work import KEEP_S, worker_name
from impasto.studio.app import create_app
from impasto.studio.studio import Studio

__all__ = ["Server", "Workers", "listen"]

LEAVE_S = 20.0
"""How long a worker may take to leave its job: a step of a large picture."""

LEAST_REST_S, MOST_REST_S, YOUNG_S = 0.1, 30.0, 10.0
"""Between a worker's death and the next one, doubled each time it dies young."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there, or on any free port where `port` is 0. Raises `ConfigError`."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(128)
    except OSError as error:
        raise ConfigError(
            f"{host}:{port} cannot be listened at: {error.strerror or error}. Is a studio open there already? "
            "Give another --port; 0 takes a free one."
        ) from error
    return found


class Workers:
    """Processes that paint the jobs of a queue, begun again when they die."""

    def __init__(self, store: JobStore, count: int, keep_s: float = KEEP_S) -> None:
        command = [sys.executable, "-m", "impasto", "jobs", "worker", "--until-eof", "--quiet"]
        self.command = [*command, "--checkpoint-every", str(keep_s), "--data-dir", str(store.folder)]
        self.store, self.count = store, count
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Workers:
        self._threads = [threading.Thread(target=self._keep_one, daemon=True) for _ in range(self.count)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(LEAVE_S + 5)

    def _keep_one(self) -> None:
        rest_s = LEAST_REST_S
        while not self._over.is_set():
            began = time.monotonic()
            with subprocess.Popen(self.command, stdin=subprocess.PIPE, start_new_session=True) as worker:
                while worker.poll() is None and not self._over.wait(0.2):
                    pass
                _let_go(worker)
            with contextlib.suppress(JobError):  # then its lease ends by itself
                self.store.bury(worker_name(worker.pid))
            lived_s = time.monotonic() - began
            rest_s = LEAST_REST_S if lived_s > YOUNG_S else min(2 * rest_s, MOST_REST_S)
            self._over.wait(rest_s)


def _let_go(worker: subprocess.Popen[bytes]) -> None:
    """Ask a worker to end, and end it if it does not."""
    if worker.stdin is not None:
        with contextlib.suppress(OSError):
            worker.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        worker.wait(LEAVE_S)
        return
    worker.kill()


class Server(uvicorn.Server):
    """The web server of a studio. `ready` is called once it answers; a signal ends it."""

    def __init__(self, studio: Studio, listening: socket.socket, ready: Callable[[], None] = lambda: None) -> None:
        super().__init__(
            uvicorn.Config(
                create_app(studio),
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=5,
            )
        )
        self.studio, self.listening, self.ready = studio, listening, ready

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        host, port = self.listening.getsockname()[:2]
        name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
        return f"http://{name}:{port}"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        self.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer no more. Streams of events would not end by themselves."""
        self.studio.watch.closed = True
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for whoever runs the server, see `stop`."""
        yield

    def stop(self) -> None:
        """Serve no more, from any thread or signal."""
        self.should_exit = True
