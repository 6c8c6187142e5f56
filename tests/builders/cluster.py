"""A local Ray cluster of two nodes, for tests."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

PRIVATE_ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",  # else the other tests keep the processors from a worker, for a minute and more
}

NODES = """
import sys
from ray._private.node import Node
from ray.cluster_utils import Cluster
# A cluster's autoscaler, log monitor and dashboard do nothing for our drivers, and each takes seconds to start.
head = {"num_cpus": 1, "no_monitor": True, "include_log_monitor": False}
if len(sys.argv) > 1:
    head["ray_client_server_port"] = int(sys.argv[1])
Node.start_api_server = lambda *_, **__: None
cluster = Cluster(initialize_head=True, head_node_args=head)
second = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
print(cluster.address, flush=True)
for line in sys.stdin:
    if line.strip() == "kill":
        cluster.remove_node(second, allow_graceful=False)
        print("killed", flush=True)
    elif line.strip() == "kill head":
        cluster.remove_node(cluster.head_node, allow_graceful=False)
        print("killed", flush=True)
    else:
        break
cluster.shutdown()
"""


class Nodes:
    """A head and a second node with one CPU each; either can be killed."""

    def __init__(self, process: subprocess.Popen[str], environment: dict[str, str], ports: list[str]) -> None:
        self.process, self.environment = process, environment
        self.from_elsewhere = "".join(f"ray://127.0.0.1:{port}" for port in ports)
        assert process.stdout is not None
        self.address = process.stdout.readline().strip()
        self.processes: list[psutil.Process] = []

    def kill_second(self) -> None:
        """Kill the second node without a graceful shutdown."""
        self._send("kill")

    def kill_head(self) -> None:
        """Kill the head, which also connects this machine to the cluster, before any job ends.

        Killing takes up to half a minute on a busy machine, and the loss is noticed later, so that all workers stay
        suspended.
        """
        self.processes = psutil.Process(self.process.pid).children(recursive=True)
        workers = [process for process in self.processes if _is_worker(process)]
        assert workers, "no process of the cluster runs jobs"
        for worker in workers:
            worker.suspend()
        self._send("kill head")

    def _send(self, command: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == "killed"


def _is_worker(process: psutil.Process) -> bool:
    try:
        return any(part.startswith("ray::") and "Agent" not in part for part in process.cmdline()[:1])
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    """Return a port that is not in use."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def two_nodes(variables: dict[str, str] | None = None, *, client_server: bool = False) -> Iterator[Nodes]:
    """Start a cluster of two nodes with its own token and more variables, on the loopback address.

    With `client_server`, it also accepts connections from machines that are not part of it.
    """
    environment = os.environ | PRIVATE_ENVIRONMENT | {"RAY_AUTH_TOKEN": secrets.token_hex(16)} | (variables or {})
    ports = [str(free_port())] if client_server else []
    process = subprocess.Popen(
        [sys.executable, "-c", NODES, *ports],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        start_new_session=True,  # Ctrl-C must not end it: it ends the cluster when its input is closed
    )
    nodes = None
    try:
        nodes = Nodes(process, environment, ports)
        assert nodes.address, "the nodes did not start"
        yield nodes
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(300)
        assert process.stdout is not None
        process.stdout.close()
        for left in (
            nodes.processes if nodes else ()
        ):  # suspended workers, and the agents that a killed head leaves behind
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()
