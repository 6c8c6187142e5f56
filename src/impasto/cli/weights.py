"""`impasto weights`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from impasto import weights as store
from impasto.cli.console import print_table, pull_weights
from impasto.config.networks import LPIPS, NETWORK_NAMES, WEIGHTS

__all__ = ["weights"]

if TYPE_CHECKING:
    Name = str
else:
    Name = Literal[(*NETWORK_NAMES.names, LPIPS.name)]

weights = App(name="weights", help="List, pull, import and verify weights.", suppress_keyboard_interrupt=False)


@weights.default
@weights.command(name="list")
def list_weights() -> int:
    """List the weights, and which of them are on this machine."""
    print_table(
        ((name, store.state(name), source.about) for name, source in WEIGHTS.items()), "name", "state", "contents"
    )
    print(f"cache folder: {store.cache_folder()}")
    return 0


@weights.command
def pull(names: Annotated[tuple[Name, ...], Parameter(help="Weights to download.")], /) -> int:
    """Download weights now instead of at first use."""
    for name in names:
        pull_weights(name)
        print(f"{name}  {store.verify(name)}")
    return 0


@weights.command(name="import")
def import_file(
    file: Annotated[Path, Parameter(help="A weights file that you downloaded.")],
    /,
    *,
    network: Annotated[Name | None, Parameter(help="Import only this network, if the file holds several.")] = None,
) -> int:
    """Import a weights file that you downloaded: check it, decode it and cache it."""
    for name in store.import_file(file, network):
        print(f"{name}  {store.verify(name)}")
    return 0


@weights.command
def verify(
    names: Annotated[tuple[Name, ...], Parameter(help="Weights to check. Default: all cached ones.")] = (), /
) -> int:
    """Check cached weights against their stored hash."""
    for name in names or [name for name in WEIGHTS if store.cached_path(name).is_file()]:
        print(f"{name}  {store.verify(name)}")
    return 0
