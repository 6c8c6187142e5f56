"""Ray's driver: a child process that is connected to a cluster and runs one service there.

Ray kills a driver that has lost its cluster, and prints to its standard output and error. In a child process the death
is an exit status, and the output a pipe. The child sends heartbeats; if these stop, the cluster is lost.
"""

from __future__ import annotations

import collections
import contextlib
import importlib
import logging
import math
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Any, Self

from impasto.distributed.connection import Cluster, ClusterError, connect, environment, require_answer
from impasto.errors import ImpastoError, one_line

__all__ = ["Channel", "ClosedChannelError", "Driver", "Service", "serve"]

logger = logging.getLogger("impasto")

CONNECT_TIMEOUT_S = 100.0
"""Time for Ray to connect: 3 s here, and up to three tries of half a minute where a server does not start. With a wrong
token it would try forever."""

HEARTBEAT_S, MAX_SILENCE_S = 2.0, 25.0
"""Interval between heartbeats, and the time without any. The head of a cluster may restart in that time."""


class ClosedChannelError(Exception):
    """The process at the other end has closed the channel or has ended."""


class Channel:
    """Messages between two processes, over a pair of pipes.

    A thread reads them, so that both ends can send large ones at the same time.
    """

    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes]) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._received: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, message: Any) -> None:
        """Send an object. Any thread may call this. Raises `ClosedChannelError`."""
        try:
            with self._lock:
                pickle.dump(message, self._outgoing, protocol=pickle.HIGHEST_PROTOCOL)
                self._outgoing.flush()
        except (OSError, ValueError) as error:  # ValueError: the file is closed
            raise ClosedChannelError from error

    def receive(self, timeout_s: float | None = None) -> Any:
        """Return the next object, or None after a timeout. Raises `ClosedChannelError`."""
        try:
            message = self._received.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(message, ClosedChannelError):
            self._received.put(message)  # for the next call
            raise message
        return message

    def close(self) -> None:
        """Close the outgoing side: the other end receives `ClosedChannelError`."""
        with contextlib.suppress(OSError):  # the other end has ended already
            self._outgoing.close()

    def join(self, timeout_s: float) -> None:
        """Wait until the other end has closed the channel, or until a timeout."""
        self._reader.join(timeout_s)

    def _read(self) -> None:
        with self._incoming:
            try:
                while True:
                    self._received.put(pickle.load(self._incoming))
            except (EOFError, OSError, ValueError, pickle.UnpicklingError):
                self._received.put(ClosedChannelError())


Service = Callable[[Channel, Cluster], None]
"""The work of a driver process. It ends with `ClosedChannelError`."""


class Heartbeat:
    """A message that driver and cluster are alive."""


class Driver:
    """A driver process, as its parent sees it.

    `module` is the Python module to run, which calls `serve`. Raises `ClusterError` if nothing is at the address.
    """

    cluster: Cluster
    """The cluster, once the driver is connected."""

    def __init__(self, module: str, address: str) -> None:
        require_answer(address)  # before a process loads Ray
        self.address = address
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(address),
            start_new_session=True,  # Ctrl-C in a terminal is for this process only
        )
        self._channel = Channel(_pipe(self._process.stdout), _pipe(self._process.stdin))
        self._output: collections.deque[bytes] = collections.deque(maxlen=30)
        self._drain = threading.Thread(target=self._read_output, args=(_pipe(self._process.stderr),), daemon=True)
        self._drain.start()
        self._max_silence_s, self._heard_s = math.inf, time.monotonic()

    def __enter__(self) -> Self:
        """Wait for the connection. Raises `ClusterError`."""
        try:
            message = self.receive(CONNECT_TIMEOUT_S)
            if not isinstance(message, Cluster):
                raise ClusterError(
                    f"{self.address} answers, but accepts no connection. If it requires a token, set "
                    "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN to the cluster's. If it is not a Ray cluster, give another "
                    "address."
                )
        except BaseException:
            self._kill()
            raise
        self.cluster, self._max_silence_s = message, MAX_SILENCE_S
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process ID of the driver."""
        return self._process.pid

    def send(self, message: Any) -> None:
        """Send a message to the service. Raises `ClusterError` if the cluster is lost."""
        try:
            self._channel.send(message)
        except ClosedChannelError:
            raise self._lost() from None

    def receive(self, timeout_s: float = math.inf) -> Any:
        """Return the service's next message, or None after a timeout.

        Raises `ClusterError` if the cluster is lost or the service has failed.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            now_s = time.monotonic()
            until_s = min(deadline_s, self._heard_s + self._max_silence_s)
            try:
                message = self._channel.receive(max(0.0, until_s - now_s))
            except ClosedChannelError:
                raise self._lost() from None
            if isinstance(message, ClusterError):
                raise message
            if message is not None:
                self._heard_s = time.monotonic()
                if not isinstance(message, Heartbeat):
                    return message
            elif time.monotonic() - self._heard_s >= self._max_silence_s:
                self._kill()
                raise self._lost()
            elif time.monotonic() >= deadline_s:
                return None

    def close(self) -> None:
        """End the service, then the process. The service may take its time while heartbeats come."""
        self._channel.close()
        try:
            with contextlib.suppress(ClusterError):
                while True:
                    self.receive()
        finally:
            self._kill()

    def _lost(self) -> ClusterError:
        """Return the error for a driver that has ended or fallen silent."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        logger.debug("The Ray driver printed: %s", b"".join(self._output).decode(errors="replace"))
        return _lost_cluster(self.address, f"its driver ended with status {self._process.poll()}")

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._channel.close()
        self._channel.join(1.0)
        self._drain.join(1.0)

    def _read_output(self, pipe: IO[bytes]) -> None:
        with pipe:
            self._output.extend(pipe)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # requested from Popen
    return pipe


def serve(service: Service) -> None:
    """Run a service: the main program of a driver process. The address is its argument."""
    # Take over standard input and output. Prints then go to standard error.
    channel = Channel(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    try:
        with connect(sys.argv[1]) as cluster:
            channel.send(cluster)
            threading.Thread(target=_send_heartbeats, args=(channel,), daemon=True).start()
            service(channel, cluster)
    except ClosedChannelError:
        pass  # the parent closed the driver, or has died
    except Exception as error:  # Ray raises many types
        with contextlib.suppress(ClosedChannelError):
            channel.send(_to_cluster_error(error, sys.argv[1]))


def _to_cluster_error(error: Exception, address: str) -> ClusterError:
    if isinstance(error, ImpastoError):
        return ClusterError(one_line(error))
    if isinstance(error, OSError) and error.errno is None:  # the system's own errors have a number
        return _lost_cluster(address, one_line(error))  # how Ray reports a broken connection to the head
    return ClusterError(f"Ray failed: {one_line(error)[:200]}")


def _lost_cluster(address: str, reason: str) -> ClusterError:
    return ClusterError(f"The Ray cluster at {address} is lost ({reason}).")


def _send_heartbeats(channel: Channel) -> None:
    """Send a heartbeat whenever the head of the cluster answers."""
    ray: Any = importlib.import_module("ray")

    while True:
        time.sleep(HEARTBEAT_S)
        with contextlib.suppress(Exception):
            ray.nodes()
            channel.send(Heartbeat())
