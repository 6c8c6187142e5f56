"""`impasto plan`."""

from __future__ import annotations

import json as json_format
from typing import Annotated, Any

from cyclopts import Parameter

from impasto.cli.console import log_to_console, print_table
from impasto.cli.options import with_options
from impasto.cli.parameters import Json
from impasto.config import RunOptions

__all__ = ["plan"]


@with_options(RunOptions, without=("max_megapixels", "bits", "profile", "intent", "quality", "save_every"))
def plan(
    *,
    measure_again: Annotated[
        bool, Parameter(negative="", help="Forget what was measured on this machine, and measure it again.")
    ] = False,
    json: Json = False,
    **options: Any,
) -> int:
    """Show how this machine carries out a run of default size, or measure it again."""
    from impasto.engine.plan_cache import forget, plan_folder
    from impasto.run import prepare_run
    from impasto.samples import photo_path

    log_to_console()
    if measure_again:
        forget()
    photo = photo_path("cat")
    choices = prepare_run(photo, photo, **options).plan.model_dump()
    if json:
        print(json_format.dumps(choices))
        return 0
    print_table((name, "none" if value is None else str(value)) for name, value in choices.items())
    print(f"kept in: {plan_folder()}")
    return 0
