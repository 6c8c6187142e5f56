"""Whether a cluster is still there: its head, and the node of it that this process is on.

Ray ends a process that asks a node of its own which is gone, and, after a minute, one that has lost the head; so who is
on a cluster looks first. A connection that stands is closed by the machine of whoever dies, which costs no waiting.
"""

from __future__ import annotations

import socket
import threading
import time
from types import ModuleType

from impasto.errors import ImpastoError

__all__ = ["ClusterError", "ClusterHealth", "watch_cluster"]

ANSWER_S = 2.0
PATIENCE_S = 20.0
"""How long the head may be away, to be begun again; Ray itself waits for a minute, and then ends this process."""

LOST = "What was painted is kept, and the same call goes on from the last checkpoints, there or here."


class ClusterError(ImpastoError):
    """A cluster that cannot be reached, or cannot do what was asked."""


class ClusterHealth:
    """Of the head at HOST:PORT, and of the node that listens on a socket in the file system; "" is not looked at."""

    def __init__(self, head: str = "", node: str = "") -> None:
        self.head = head
        self._node = _local(node) if node else None
        self._head = _dialed(head) if head else None
        self._away_s: float | None = None
        self._lock = threading.Lock()

    def require(self) -> None:
        """Raise `ClusterError` if it has stopped."""
        with self._lock:
            if self._node is not None and _is_closed(self._node):
                raise ClusterError(f"The Ray node of this machine has ended. {LOST}")
            if self._head is not None and not _is_closed(self._head):
                self._away_s = None
            elif self.head:
                self._look_for_head()

    def _look_for_head(self) -> None:
        """Whether it hung up, as it does on whoever says nothing, or is gone."""
        now = time.monotonic()
        if self._head is not None:
            self._head.close()
        self._head = _dialed(self.head)
        if self._head is not None:
            self._away_s = None
        elif self._away_s is None:
            self._away_s = now
        elif now - self._away_s > PATIENCE_S:
            raise ClusterError(f"The head of the cluster, {self.head}, is gone. {LOST}")

    def close(self) -> None:
        """Let go of both."""
        for connection in (self._node, self._head):
            if connection is not None:
                connection.close()
        self.head, self._node, self._head = "", None, None


def watch_cluster(ray: ModuleType) -> ClusterHealth:
    """That of the cluster that this process is a part of. Over ray:// Ray says itself that it is gone."""
    context = ray.get_runtime_context()
    here = [node["RayletSocketName"] for node in ray.nodes() if node["NodeID"] == context.get_node_id()]
    return ClusterHealth(context.gcs_address, here[0] if here else "")


def _local(path: str) -> socket.socket | None:
    if not hasattr(socket, "AF_UNIX"):  # Windows, where a node has no such socket
        return None
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        return None
    return connection


def _dialed(address: str) -> socket.socket | None:
    host, _, port = address.rpartition(":")
    try:
        connection = socket.create_connection((host.strip("[]"), int(port)), ANSWER_S)
    except OSError:
        return None
    # A machine without power says nothing, so it is asked.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return connection


def _is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        while data := connection.recv(4096):
            del data  # what a server says first
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
