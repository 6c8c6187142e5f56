"""`impasto studio`."""

from __future__ import annotations

import os
import threading
import webbrowser
from dataclasses import dataclass
from typing import Annotated

import torch
from cyclopts import Parameter

from impasto.cli.console import console
from impasto.cli.parameters import CheckpointInterval, DataDir, open_store
from impasto.cli.signals import catch_signals
from impasto.errors import ConfigError
from impasto.jobs.executors.local import LocalExecutor
from impasto.jobs.painter import CHECKPOINT_INTERVAL_S
from impasto.studio import Studio
from impasto.studio.auth import AccessPolicy
from impasto.studio.server import Server, listen

__all__ = ["studio"]


@Parameter(name="*")
@dataclass(frozen=True)
class Address:
    """The address that the studio listens on, and its access rules."""

    host: Annotated[str, Parameter(help="Address to listen on. Any address but this machine's own needs --token.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Parameter(help="Port to listen on; 0 chooses a free one.")] = 8077
    token: Annotated[
        str | None,
        Parameter(help="Password for other machines, 16 characters or more. Safer in IMPASTO_TOKEN."),
    ] = None
    name: Annotated[
        list[str] | None, Parameter(help="A host name of this machine to accept, such as studio.local.", negative="")
    ] = None
    behind_proxy: Annotated[
        list[str] | None,
        Parameter(help="IP address or network of an HTTPS proxy that forwards requests here.", negative=""),
    ] = None

    def policy(self) -> AccessPolicy:
        """Return the rules of access. Raises `ConfigError`."""
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"--port {self.port} is out of range. Give 0 to 65535.")
        token = self.token or os.environ.get("IMPASTO_TOKEN") or None
        return AccessPolicy(self.host, token, tuple(self.name or ()), tuple(self.behind_proxy or ()))


def studio(
    *,
    address: Address = Address(),
    workers: Annotated[int, Parameter(help="Pictures to paint at once; 0 starts no worker here.")] = 1,
    checkpoint_every: CheckpointInterval = CHECKPOINT_INTERVAL_S,
    browser: Annotated[bool, Parameter(help="Open the page in a browser.")] = True,
    data_dir: DataDir = None,
) -> int:
    """Open the studio, a web page on this machine: drop a photo and a painting, and watch it being painted.

    Jobs are kept in a durable queue. Ctrl-C closes the studio; unfinished jobs continue when it is opened again.
    """
    if not 0 <= workers <= 64:
        raise ConfigError(f"--workers {workers} is out of range. Give 0 to 64.")
    policy = address.policy()
    store = open_store(data_dir)
    torch.set_num_threads(1)  # this process only draws thumbnails; the workers paint
    with listen(address.host, address.port) as listening, catch_signals() as catcher:

        def ready() -> None:
            print(f"the studio is open: {server.address}", flush=True)
            if browser:
                # Some browsers stay in the foreground: the call returns when they are closed.
                threading.Thread(target=webbrowser.open, args=(server.address,), daemon=True).start()

        server = Server(Studio(store, policy), listening, ready, lambda: bool(catcher.signal))
        catcher.deferring = True
        with LocalExecutor(store, workers, checkpoint_every):
            server.run(sockets=[listening])
    console.print("the studio is closed; unfinished jobs continue when it is opened again")
    return 0
