"""`impasto weights`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from impasto import weights as store
from impasto.cli.console import pull_weights

__all__ = ["weights"]

Name = Literal["vgg19", "vgg19:torchvision", "vgg16", "alexnet", "lpips"]

weights = App(name="weights", help="List, pull, import and verify weights.", suppress_keyboard_interrupt=False)


@weights.default
@weights.command(name="list")
def list_weights() -> int:
    """List what weights there are, and which are on this machine."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("name", "here", "what"):
        table.add_column(heading)
    for name, source in store.SOURCES.items():
        here = "cached" if source.path.is_file() else "installed" if not source.mirrors else "to pull"
        table.add_row(name, here, source.about)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(table)
    console.print(f"kept in {store.cache_folder()}")
    return 0


@weights.command
def pull(names: Annotated[tuple[Name, ...], Parameter(help="Weights to fetch.")], /) -> int:
    """Fetch weights now rather than at first use."""
    for name in names:
        pull_weights(name)
        print(f"{name}  {store.verify(name)}")
    return 0


@weights.command(name="import")
def import_file(
    file: Annotated[Path, Parameter(help="A file that was fetched by hand.")],
    /,
    *,
    network: Annotated[Name | None, Parameter(help="What alone to take it for, if it holds several.")] = None,
) -> int:
    """Take a file of weights that was fetched by hand: checked, decoded, kept."""
    for source in store.import_file(file, network):
        print(f"{source.name}  {store.verify(source.name)}")
    return 0


@weights.command
def verify(
    names: Annotated[tuple[Name, ...], Parameter(help="Weights to check; all that are here if none.")] = (), /
) -> int:
    """Read cached weights again and compare them with what was stored."""
    for name in names or [name for name, source in store.SOURCES.items() if source.path.is_file()]:
        print(f"{name}  {store.verify(name)}")
    return 0
