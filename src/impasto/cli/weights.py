"""`impasto weights`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from impasto import weights as store
from impasto.cli.console import print_table, pull_missing, pull_weights
from impasto.config.networks import NETWORK_NAMES, WEIGHTS
from impasto.config.weights_sources import LPIPS
from impasto.errors import ConfigError, WeightsError

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
def pull(
    names: Annotated[tuple[Name, ...], Parameter(help="Weights to download.")] = (),
    /,
    *,
    all_weights: Annotated[
        bool, Parameter(name="--all", negative="", help="All weights that are not on this machine yet.")
    ] = False,
    to: Annotated[
        Path | None,
        Parameter(help="Also write them to this folder, for impasto weights import on a machine without a network."),
    ] = None,
) -> int:
    """Download weights now instead of at first use."""
    if bool(names) == all_weights:
        raise ConfigError(f"Give --all, or names of weights, not both: {', '.join(WEIGHTS)}.")
    failures = []
    for name in names or WEIGHTS:
        try:
            if all_weights or to:
                pull_missing(name)
            else:
                pull_weights(name)
            print(f"{name}  {store.export(name, to) if to else store.verify(name)}")
        except WeightsError as error:  # the others may be on another server
            failures.append(str(error))
    if failures:
        raise WeightsError(" ".join(failures))
    return 0


@weights.command(name="import")
def import_weights(
    path: Annotated[
        Path, Parameter(help="A weights file that you downloaded, or a folder of impasto weights pull --to.")
    ],
    /,
    *,
    network: Annotated[Name | None, Parameter(help="Import only this network, if there are several.")] = None,
) -> int:
    """Import weights from a file or a folder: check them, decode them and cache them."""
    for name in (store.import_folder if path.is_dir() else store.import_file)(path, network):
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
