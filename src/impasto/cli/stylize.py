"""`impasto stylize` and `impasto demo`. Their `--help` does not load torch."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from impasto.cli.options import with_options
from impasto.cli.parameters import CheckpointParameters, MaskParameters, On, OutputParameters
from impasto.config import Config, RunOptions
from impasto.distributed import LOCAL

__all__ = ["demo", "stylize"]


@with_options(Config, RunOptions)
def stylize(
    content: Annotated[str, Parameter(help="The photo: a file, - for standard input, or sample:NAME.")],
    style: Annotated[
        list[str],
        Parameter(help="The painting: a file, - for standard input, or sample:NAME. Several are blended.", negative=""),
    ],
    /,
    *,
    outputs: OutputParameters = OutputParameters(),
    masks: MaskParameters = MaskParameters(),
    checkpoints: CheckpointParameters = CheckpointParameters(),
    on: On = LOCAL,
    **options: Any,
) -> int:
    """Paint CONTENT in the manner of STYLE."""
    from impasto.cli.paint import paint

    return paint([content, *style], options | masks.as_options(), outputs, checkpoints, on)


@with_options(Config, RunOptions)
def demo(*, outputs: OutputParameters = OutputParameters(), **options: Any) -> int:
    """Paint the photo that ships with Impasto in a style drawn by its own code."""
    from impasto.cli.paint import paint

    return paint(["sample:cat", "sample:swirl"], options, outputs, default="impasto_demo.png")
