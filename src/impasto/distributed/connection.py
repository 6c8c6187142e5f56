"""A connection to Ray: one of our own on this machine, which talks to nobody, or a cluster that is there already."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from impasto import __version__
from impasto.distributed.health import ClusterError, ClusterHealth, watch_cluster
from impasto.distributed.quiet_ray import hushed, silence

__all__ = ["LOCAL", "Cluster", "ClusterError", "connected", "require_version", "with_threads"]

LOCAL, OWN = "local", "ray"
"""Where things are painted: by processes of this machine, by a Ray of our own on it; all else is an address."""

PRIVATE = {
    "RAY_AUTH_MODE": "token",
    # Ray's name for binding to the loopback address alone, which other systems have for their firewalls.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
"""What keeps a Ray of our own to this machine and this user."""

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""No report on usage to anybody, and no word on a change of defaults that does not concern us."""

ANSWER_S, ENTER_S = 10.0, 45.0
"""How long an address may take to answer, and Ray to let us in: it starts in three seconds here."""


STILLBORN, TRIES = "Starting Ray client server failed", 3
"""What a cluster says whose server for us died as it was forked, as happened to three of ten here, with Ray 2.60."""


@dataclass(frozen=True)
class Cluster:
    """What there is: processors and graphics cards in all, memory in bytes, and processors of the smallest machine.

    `cpus_per_gpu` are those that every card has beside it, on the machine where it has fewest.
    """

    cpus: int
    gpus: int
    memory: float
    nodes: int
    min_cpus: int
    cpus_per_gpu: int = 0
    pulse: ClusterHealth = field(default_factory=ClusterHealth)


@contextlib.contextmanager
def connected(where: str) -> Iterator[Cluster]:
    """A cluster: of our own for "ray", or at an address as Ray has them: ray://HOST:10001; auto on one of its machines.

    Raises `ClusterError`: no Ray is installed, nobody answers, or it is another one than ours.
    """
    os.environ.update(QUIET)
    own = where == OWN
    with _environment(PRIVATE | {"RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_ADDRESS": None} if own else {}):
        ray = _ray()
        if not own:
            _require_answer(where)
        told: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        told |= {"include_dashboard": False} if own else {}
        silence()
        _enter(ray, LOCAL if own else where, told)
        pulse = ClusterHealth() if where.startswith("ray://") else watch_cluster(ray)
        try:
            yield _seen(ray, pulse)
        finally:
            pulse.close()
            ray.shutdown()


def _enter(ray: ModuleType, address: str, told: dict[str, Any]) -> None:
    """Connect, or raise `ClusterError`."""
    for left in reversed(range(TRIES)):
        error = _tried(ray, address, told)
        if error is None:
            return
        ray.shutdown()
        if not left or STILLBORN not in str(error):
            raise ClusterError(_refused(address, error)) from error


def _tried(ray: ModuleType, address: str, told: dict[str, Any]) -> Exception | None:
    """Try to connect; what Ray says against it."""
    raised: list[Exception] = []

    def enter() -> None:
        try:
            ray.init(address=address, **told)
        except Exception as error:  # Ray's own come from all over it
            raised.append(error)

    # Without the right token Ray tries for ever, so it does that elsewhere. But the processes of a Ray of our own end
    # with the thread that began them.
    entering = threading.Thread(target=enter, daemon=True)
    with hushed():
        if address == LOCAL:
            enter()
        else:
            entering.start()
            entering.join(ENTER_S)
    if not raised and entering.is_alive():
        raise ClusterError(
            f"{address} answers, and lets nobody in. If it wants a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN "
            "to that of the cluster; if it is no Ray, give the address of one."
        )
    return raised[0] if raised else None


def _ray() -> ModuleType:
    try:
        import ray
    except ImportError as error:
        raise ClusterError("Ray is not installed here. Run: pip install 'impasto[cluster]'") from error
    return ray


@contextlib.contextmanager
def _environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """Variables that hold meanwhile, or are not there: another cluster of the same process is not to inherit them."""

    def put(given: Mapping[str, str | None]) -> None:
        for name, value in given.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

    before = {name: os.environ.get(name) for name in values}
    put(values)
    try:
        yield
    finally:
        put(before)


def _require_answer(where: str) -> None:
    """Find out at once what Ray finds out after half a minute."""
    if where == "auto":
        return
    host, _, port = where.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ClusterError(f"{where!r} is no address. Use ray, auto, HOST:PORT or ray://HOST:PORT.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
    except OSError as error:
        raise ClusterError(
            f"{where} does not answer: {error.strerror or error}. Is the cluster up? On its first machine: ray start "
            "--head; its address for others is ray://HOST:10001."
        ) from error


def _refused(where: str, error: Exception) -> str:
    said = str(error)
    if "Traceback" in said:  # of a server's; its last lines are what happened
        said = said[said.rfind("\n", 0, said.rfind("Error: ")) + 1 :]
    why = " ".join(said.split())[:300]
    if "auth" in why.lower() or "token" in why.lower():
        return f"{where} wants a token: {why}. Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to that of the cluster."
    if where == "auto":
        why = why.partition(". ")[0].rstrip(".")
        return f"This machine is no part of a cluster: {why}. Run: ray start --address=HOST:6379"
    return f"Ray at {where} cannot be used: {why}"


def _seen(ray: ModuleType, pulse: ClusterHealth) -> Cluster:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    working = [node for node in nodes if node.get("CPU")]
    if not working:
        raise ClusterError("The cluster has no processors to paint with. Add a machine: ray start --address=HOST:6379")
    return Cluster(
        cpus=int(sum(node["CPU"] for node in working)),
        gpus=int(sum(node.get("GPU", 0) for node in working)),
        memory=sum(node.get("memory", 0) for node in working),
        nodes=len(working),
        min_cpus=int(min(node["CPU"] for node in working)),
        cpus_per_gpu=int(min((node["CPU"] // node["GPU"] for node in working if node.get("GPU")), default=0)),
        pulse=pulse,
    )


def require_version(version: str, node: str) -> None:
    """Raise `ClusterError` for a machine that has another Impasto: its pictures would not be ours."""
    if version != __version__:
        raise ClusterError(f"{node} has Impasto {version}, and this machine {__version__}. Install the same on all.")


def with_threads(count: int) -> dict[str, Any]:
    """The environment of an actor: so many threads, which wait as those of this process do."""
    alike = {name: os.environ[name] for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT") if name in os.environ}
    return {"env_vars": alike | {"OMP_NUM_THREADS": str(count)}}
