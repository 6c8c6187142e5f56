"""The connection to Ray: a private cluster on this machine, or an existing one. Made in a child process (`driver`)."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from impasto import __version__
from impasto.errors import ImpastoError
from impasto.process import VARIABLES

__all__ = [
    "LOCAL",
    "Cluster",
    "ClusterError",
    "actor_environment",
    "connect",
    "environment",
    "require_answer",
    "require_version",
]

LOCAL, PRIVATE = "local", "ray"
"""Values of --on that are not addresses: worker processes, and a private Ray cluster on this machine."""

PRIVATE_ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    # Ray's switch for binding to the loopback address only. Ray itself sets it on systems with a firewall dialog.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Ray would start a process for each processor, which none of our actors could use.
    "RAY_prestart_worker_first_driver": "0",
}
"""Restricts a private cluster to this machine and this user, and to the processes that it needs."""

QUIET_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""Disables usage reports, and a warning about a change of defaults."""

ADDRESS_TIMEOUT_S = 10.0

START_ERRORS, MAX_TRIES = ("Starting Ray client server failed", "psutil.ZombieProcess", "psutil.NoSuchProcess"), 3
"""With Ray 2.60, three of ten ray:// servers died while they were forked for a client, which Ray reports, or finds dead
when it looks. A retry helps."""


class ClusterError(ImpastoError):
    """A cluster that cannot be reached, or cannot do what was requested."""


@dataclass(frozen=True)
class Cluster:
    """The resources of a cluster.

    Processors, cards and memory in bytes are totals. `min_cpus` is the smallest number of processors of a machine,
    `cpus_per_gpu` that beside each graphics card.
    """

    cpus: int
    gpus: int
    memory: float
    nodes: int
    min_cpus: int
    cpus_per_gpu: int = 0


def environment(address: str) -> dict[str, str]:
    """Return the environment of a process that connects to an address. Ray reads it when it is imported."""
    variables = os.environ | QUIET_ENVIRONMENT
    if address == PRIVATE:
        variables |= PRIVATE_ENVIRONMENT | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
        variables.pop("RAY_ADDRESS", None)
    return variables


@contextlib.contextmanager
def connect(address: str) -> Iterator[Cluster]:
    """Connect this process to Ray. Raises `ClusterError`.

    `address` is "ray" for a private cluster, "auto" on a machine of a cluster, HOST:PORT or ray://HOST:PORT. Start the
    process with the `environment` of this address, after `require_answer`.
    """
    options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
    if address == PRIVATE:
        options |= {"address": "local", "include_dashboard": False}
    ray = _import_ray()
    _initialize(ray.init, ray.shutdown, options)
    try:
        yield _resources(ray)
    finally:
        ray.shutdown()


def _import_ray() -> ModuleType:
    try:
        import ray
    except ImportError as error:
        raise ClusterError("Ray is not installed. Run: pip install 'impasto[cluster]'") from error
    return ray


def require_answer(address: str) -> None:
    """Raise `ClusterError` if nothing listens at an address: Ray itself tries for half a minute."""
    if address in (PRIVATE, "auto"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ClusterError(f"{address!r} is not an address. Use ray, auto, HOST:PORT or ray://HOST:PORT.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ADDRESS_TIMEOUT_S).close()
    except OSError as error:
        raise ClusterError(
            f"{address} does not answer: {error.strerror or error}. Start the cluster on its first machine with: "
            "ray start --head. From other machines, its address is ray://HOST:10001."
        ) from error


def _initialize(init: Callable[..., object], shutdown: Callable[[], object], options: dict[str, Any]) -> None:
    """Connect, with retries if the cluster's server for this client did not start.

    Raises `ClusterError`.
    """
    for tries_left in reversed(range(MAX_TRIES)):
        try:
            init(**options)
            return
        except Exception as error:  # Ray raises many types, also from grpc
            shutdown()
            if not tries_left or not any(known in str(error) for known in START_ERRORS):
                raise ClusterError(_describe(options["address"], error)) from error


def _describe(address: str, error: Exception) -> str:
    """Return an error of `ray.init` on one line, with advice."""
    text = str(error)
    if "Traceback" in text:  # from a ray:// server: keep its last error
        text = text[text.rfind("\n", 0, text.rfind("Error: ")) + 1 :]
    reason = " ".join(text.split())[:300]
    if "auth" in reason.lower() or "token" in reason.lower():
        return f"{address} requires a token: {reason}. Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to the cluster's."
    if address == "auto":
        reason = reason.partition(". ")[0].rstrip(".")
        return f"This machine is not part of a cluster: {reason}. Run: ray start --address=HOST:6379"
    return f"The Ray cluster at {address} cannot be used: {reason}"


def _resources(ray: ModuleType) -> Cluster:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    workers = [node for node in nodes if node.get("CPU")]
    if not workers:
        raise ClusterError("The cluster has no processors. Add a machine with: ray start --address=HOST:6379")
    return Cluster(
        cpus=int(sum(node["CPU"] for node in workers)),
        gpus=int(sum(node.get("GPU", 0) for node in workers)),
        memory=sum(node.get("memory", 0) for node in workers),
        nodes=len(workers),
        min_cpus=int(min(node["CPU"] for node in workers)),
        cpus_per_gpu=int(min((node["CPU"] // node["GPU"] for node in workers if node.get("GPU")), default=0)),
    )


def require_version(version: str, node: str) -> None:
    """Raise `ClusterError` if a machine has another version, which could paint other pictures."""
    if version != __version__:
        raise ClusterError(
            f"{node} has Impasto {version}, but this machine has {__version__}. Install the same version everywhere."
        )


def actor_environment(threads: int) -> dict[str, Any]:
    """Return Ray's `runtime_env` for an actor with this number of threads."""
    inherited = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    return {"env_vars": inherited | {"OMP_NUM_THREADS": str(threads)}}
