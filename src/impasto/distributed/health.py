"""The health of the cluster that this process is connected to: its head, and the local node.

Ray kills a driver whose local node is gone, and after a minute one that has lost the head, so check before each call.
Open connections show both deaths: the operating system closes them.
"""

from __future__ import annotations

import socket
import threading
import time
from types import ModuleType

from impasto.distributed.connection import ClusterError

__all__ = ["ClusterHealth", "watch_cluster"]

CONNECT_TIMEOUT_S = 2.0
HEAD_TIMEOUT_S = 20.0
"""Time for the head to restart. Ray itself waits for a minute, then kills this process."""


class ClusterHealth:
    """Open connections to the head at HOST:PORT, and to a node's socket in the file system.

    "" is not watched.
    """

    def __init__(self, head: str = "", node: str = "") -> None:
        self.head = head
        self._node = _connect_local(node) if node else None
        self._head = _connect_head(head) if head else None
        self._lost_s: float | None = None
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raise `ClusterError` if the cluster is lost."""
        with self._lock:
            if self._node is not None and _is_closed(self._node):
                raise ClusterError("The Ray node on this machine has ended.")
            if self._head is not None and not _is_closed(self._head):
                self._lost_s = None
            elif self.head:
                self._reconnect()

    def _reconnect(self) -> None:
        """Connect to the head again: it closes silent connections, so a closed one proves nothing."""
        now_s = time.monotonic()
        if self._head is not None:
            self._head.close()
        self._head = _connect_head(self.head)
        if self._head is not None:
            self._lost_s = None
        elif self._lost_s is None:
            self._lost_s = now_s
        elif now_s - self._lost_s > HEAD_TIMEOUT_S:
            raise ClusterError(f"The head of the cluster, {self.head}, does not answer.")

    def close(self) -> None:
        """Close both connections. Checks then pass."""
        for connection in (self._node, self._head):
            if connection is not None:
                connection.close()
        self.head, self._node, self._head = "", None, None


def watch_cluster(ray: ModuleType) -> ClusterHealth:
    """Return the health of Ray's current cluster. Over ray://, Ray raises errors itself."""
    if ray.util.client.ray.is_connected():
        return ClusterHealth()
    context = ray.get_runtime_context()
    sockets = [node["RayletSocketName"] for node in ray.nodes() if node["NodeID"] == context.get_node_id()]
    return ClusterHealth(context.gcs_address, sockets[0] if sockets else "")


def _connect_local(path: str) -> socket.socket | None:
    if not hasattr(socket, "AF_UNIX"):  # Windows, where a node has no such socket
        return None
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        return None
    return connection


def _connect_head(address: str) -> socket.socket | None:
    host, _, port = address.rpartition(":")
    try:
        connection = socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S)
    except OSError:
        return None
    # Enable TCP keepalive: a powered-off host never closes its socket.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return connection


def _is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        while connection.recv(4096):
            pass  # a server's greeting
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
