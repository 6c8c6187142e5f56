"""Messages between this process and a child process, over a pair of pipes."""

from __future__ import annotations

import contextlib
import pickle
import queue
import threading
from typing import IO, Any

__all__ = ["Channel", "ClosedChannelError"]

_CLOSED = object()


class ClosedChannelError(Exception):
    """The process at the other end has closed the channel or has ended."""


class Channel:
    """Sends and receives objects.

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
        if message is _CLOSED:
            self._received.put(_CLOSED)  # for the next call
            raise ClosedChannelError
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
                self._received.put(_CLOSED)
