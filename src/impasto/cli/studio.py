"""`impasto studio`."""

from __future__ import annotations

import os
import socket
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from cyclopts import Parameter

from impasto.cli.console import console
from impasto.cli.parameters import CheckpointInterval, DataDir, Whole, open_store
from impasto.cli.signals import catch_signals
from impasto.cli.studio_shortcut import install, remove
from impasto.cli.viewer import Viewer
from impasto.errors import ConfigError
from impasto.jobs import JobStore
from impasto.jobs.executors.local import LocalExecutor
from impasto.jobs.painter import CHECKPOINT_INTERVAL_S
from impasto.studio import Studio
from impasto.studio.auth import AccessPolicy
from impasto.studio.running import announce, find_running_studio, wait_for_running_studio
from impasto.studio.server import DEFAULT_PORT, AddressInUseError, Server, find_address, listen

__all__ = ["studio"]


@Parameter(name="*")
@dataclass(frozen=True)
class Address:
    """The address that the studio listens on, and its access rules."""

    host: Annotated[str, Parameter(help="Address to listen on. Any address but this machine's own needs --token.")] = (
        "127.0.0.1"
    )
    port: Annotated[Whole, Parameter(help="Port to listen on; 0 chooses a free one.")] = DEFAULT_PORT
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
    workers: Annotated[Whole, Parameter(help="Pictures to paint at once; 0 starts no worker here.")] = 1,
    checkpoint_every: CheckpointInterval = CHECKPOINT_INTERVAL_S,
    app: Annotated[
        bool, Parameter(help="Open the page in a window of its own (impasto[desktop], or Chromium).", negative="")
    ] = False,
    browser: Annotated[bool, Parameter(help="Open the page in a browser.")] = True,
    install_shortcut: Annotated[
        bool, Parameter(help="Add the studio to the desktop's menu instead of opening it.", negative="")
    ] = False,
    remove_shortcut: Annotated[
        bool, Parameter(help="Remove the studio from the desktop's menu instead of opening it.", negative="")
    ] = False,
    data_dir: DataDir = None,
) -> int:
    """Open the studio, a web page on this machine: drop a photo and a painting, and watch it being painted.

    Jobs are kept in a durable queue. Ctrl-C, or closing the window, closes the studio; unfinished jobs continue when it
    is opened again.
    """
    if not 0 <= workers <= 64:
        raise ConfigError(f"--workers {workers} is out of range. Give 0 to 64.")
    if install_shortcut and remove_shortcut:
        raise ConfigError("--install-shortcut and --remove-shortcut exclude each other. Give one of them.")
    if remove_shortcut:
        return remove()
    policy = address.policy()
    if install_shortcut:
        return install(_shortcut_options(address, workers, checkpoint_every, data_dir))
    store = open_store(data_dir)
    torch.set_num_threads(1)  # this process only draws thumbnails; the workers paint
    with catch_signals() as catcher, Viewer(app=app, browser=browser) as viewer:
        listening = _listen_or_find(store, address, viewer)
        catcher.deferring = True
        if isinstance(listening, str):
            print(f"the studio is already open: {listening}", flush=True)
            viewer.show(listening)
            viewer.wait(lambda: bool(catcher.signal))
            return 0
        page = find_address(listening)
        # A second start cannot show the page of a studio with a token, which it does not know.
        announced = announce(store.folder, page) if policy.token is None else nullcontext()
        with listening, announced, LocalExecutor(store, workers, checkpoint_every):

            def show() -> None:
                print(f"the studio is open: {page}", flush=True)
                viewer.show(page)

            server = Server(Studio(store, policy), listening, show, lambda: bool(catcher.signal) or viewer.is_closed)
            server.run(sockets=[listening])
    console.print("the studio is closed; unfinished jobs continue when it is opened again")
    return 0


def _listen_or_find(store: JobStore, address: Address, viewer: Viewer) -> socket.socket | str:
    """Open a listening socket, or return the address of a studio that already runs for this queue.

    Raises `ConfigError`.
    """
    if viewer.app and (running := find_running_studio(store.folder)):
        return running
    try:
        return listen(address.host, address.port)
    except AddressInUseError:
        if (viewer.app or viewer.browser) and (running := wait_for_running_studio(store.folder)):
            return running
        if viewer.app and address.port == DEFAULT_PORT:  # the address of a window is never typed
            return listen(address.host, 0)
        raise


def _shortcut_options(address: Address, workers: int, checkpoint_every: float, data_dir: Path | None) -> list[str]:
    """Return the options that a shortcut repeats. Raises `ConfigError`."""
    if address != Address(port=address.port):
        raise ConfigError(
            "A shortcut opens the studio for this computer alone. Leave out --host, --token, --name and --behind-proxy."
        )
    options = []
    folder = data_dir or os.environ.get("IMPASTO_DATA")  # which the desktop does not know
    if folder:
        options += ["--data-dir", str(Path(folder).expanduser().absolute())]
    for name, value, default in (
        ("--port", address.port, DEFAULT_PORT),
        ("--workers", workers, 1),
        ("--checkpoint-every", checkpoint_every, CHECKPOINT_INTERVAL_S),
    ):
        if value != default:
            options += [name, str(value)]
    return options
