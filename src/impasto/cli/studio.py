"""`impasto studio`: the web page, its server and its workers."""

from __future__ import annotations

import os
import webbrowser
from typing import Annotated

import torch
from cyclopts import Parameter

from impasto.cli.console import console
from impasto.cli.parameters import CheckpointInterval, DataDir, open_store
from impasto.cli.signals import catch_signals
from impasto.errors import ConfigError
from impasto.jobs.executors.local import LocalExecutor
from impasto.jobs.painter import KEEP_S
from impasto.studio import Studio
from impasto.studio.auth import AccessPolicy
from impasto.studio.server import Server, listen

__all__ = ["studio"]


def studio(
    *,
    host: Annotated[
        str, Parameter(help="Where to listen. Any other than this machine's own needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port; 0 takes a free one.")] = 8077,
    token: Annotated[
        str | None,
        Parameter(help="What others must know to get in: 16 characters or more. Better as IMPASTO_TOKEN."),
    ] = None,
    name: Annotated[
        list[str] | None, Parameter(help="A name by which others call this machine, such as studio.local.", negative="")
    ] = None,
    workers: Annotated[int, Parameter(help="Pictures that are painted at once; 0: none, other workers do.")] = 1,
    checkpoint_every: CheckpointInterval = KEEP_S,
    browser: Annotated[bool, Parameter(help="Open the page.")] = True,
    data_dir: DataDir = None,
) -> int:
    """Open the studio, a web page on this machine: drop a photo and a painting, and watch.

    What it paints is kept in a queue that survives anything. Ctrl-C closes it; what is painted then goes on when it
    is opened again.
    """
    if not 0 <= workers <= 64:
        raise ConfigError(f"--workers {workers} is out of range. Give 0 to 64.")
    if not 0 <= port <= 65535:
        raise ConfigError(f"--port {port} is out of range. Give 0 to 65535.")
    doors = AccessPolicy(host, token or os.environ.get("IMPASTO_TOKEN") or None, tuple(name or ()))
    store = open_store(data_dir)
    torch.set_num_threads(1)  # this process draws small looks; the workers paint
    with listen(host, port) as listening, catch_signals() as catcher:

        def ready() -> None:
            print(f"the studio is open: {server.address}", flush=True)
            if browser:
                webbrowser.open(server.address)

        server = Server(Studio(store, doors), listening, ready, lambda: bool(catcher.signal))
        catcher.deferring = True
        with LocalExecutor(store, workers, checkpoint_every):
            server.run(sockets=[listening])
    console.print("the studio is closed; what it painted goes on when it is opened again")
    return 0
