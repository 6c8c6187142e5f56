"""Parameters and steps that the commands of `impasto insight` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from impasto import images
from impasto.cli.console import pull_missing
from impasto.cli.options import with_options
from impasto.cli.run_command import file_stem
from impasto.config import Config, RunOptions
from impasto.config.networks import NETWORK_NAMES
from impasto.files import require_distinct
from impasto.insight.inputs import DEFAULT_SIZE_PX
from impasto.insight.view_options import UNUSED_OPTIONS
from impasto.run.observers import unused_path
from impasto.samples.sources import resolve_picture

__all__ = ["Layers", "Output", "Picture", "Pictures", "open_pictures", "with_view_options"]

Output = Annotated[Path | None, Parameter(name=["-o", "--output"], help="File to write. Default: a new name.")]
Layers = Annotated[str | None, Parameter(help="Layers, comma-separated, such as relu1_1,relu3_1.")]
Picture = Annotated[str, Parameter(help="A picture: a file, - for standard input, or sample:NAME.")]
Pictures = Annotated[list[str], Parameter(help="Pictures: files, or sample:NAME.", negative="")]

SAVING_OPTIONS = ("bits", "profile", "intent", "quality")
"""Options that a sheet does not use."""


def with_view_options(view: str, *without: str, **defaults: Any) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command a flag for every option that has an effect in a view."""
    dropped = {*UNUSED_OPTIONS[view], *SAVING_OPTIONS, *without}
    return with_options(Config, RunOptions, without=dropped, defaults={"size": DEFAULT_SIZE_PX, **defaults})


def open_pictures(
    view: str,
    names: Sequence[str],
    output: Path | None,
    options: Mapping[str, Any],
    *,
    over: Mapping[str, Sequence[str]] | None = None,
    quiet: bool,
) -> tuple[Path, list[Any]]:
    """Return the path of a sheet, checked to be writable and distinct from the inputs, and the pictures.

    Missing weights are downloaded, also those of every network that `over` names.
    """
    values = {name: [options[name]] for name in ("init", "network") if name in options} | dict(over or {})
    path = output or unused_path(Path(f"{file_stem(*names)}_{view}.png"))
    images.require_output(path)
    require_distinct([path], [*names, *values.get("init", [])])
    for network in values.get("network", [Config.model_fields["network"].default]):
        if network in NETWORK_NAMES.names:  # the option itself refuses others
            pull_missing(network, quiet=quiet)
    return path, [resolve_picture(name, int(options.get("size", DEFAULT_SIZE_PX))) for name in names]
