"""A connection to Ray in this process, for tiles: their tensors cross at every step.

A connection in this process can print, and Ray kills the process if it loses the cluster: see `quiet_ray` and `health`.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

from impasto.distributed.connection import Cluster, ClusterError, connect
from impasto.distributed.quiet_ray import discard_stderr, silence

__all__ = ["connected"]

CONNECT_TIMEOUT_S = 45.0
"""Time for Ray to connect: 3 s here. With a wrong token it would try forever."""


@contextlib.contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """Connect this process to Ray, without Ray's output. Raises `ClusterError`."""
    with _restored_environment(), connect(address, _init) as cluster:
        yield cluster


def _init(**options: Any) -> None:
    """Call `ray.init`, in a thread that can be abandoned if it never returns."""
    import ray

    silence()
    errors: list[Exception] = []

    def init() -> None:
        try:
            ray.init(**options)
        except Exception as error:  # Ray raises many types
            errors.append(error)

    thread = threading.Thread(target=init, daemon=True)
    with discard_stderr():
        if options["address"] == "local":  # a private cluster ends with the thread that started it
            init()
        else:
            thread.start()
            thread.join(CONNECT_TIMEOUT_S)
    if errors:
        raise errors[0]
    if thread.is_alive():
        raise ClusterError(
            f"{options['address']} answers, but accepts no connection. If it requires a token, set RAY_AUTH_MODE=token "
            "and RAY_AUTH_TOKEN to the cluster's. If it is not a Ray cluster, give another address."
        )


@contextlib.contextmanager
def _restored_environment() -> Iterator[None]:
    """Restore Ray's variables on exit: another cluster of this process must not inherit them."""
    before = {name: value for name, value in os.environ.items() if name.startswith("RAY_")}
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith("RAY_")]:
            del os.environ[name]
        os.environ.update(before)
