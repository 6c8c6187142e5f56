"""Messages on standard error, and the download of missing weights."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table

__all__ = ["console", "format_duration", "log_to_console", "print_table", "pull_missing", "pull_weights"]

console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def log_to_console(*, verbose: bool = False) -> None:
    """Print warnings of the `impasto` logger on standard error; with `verbose` also its reports of choices."""
    logger = logging.getLogger("impasto")
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    if not any(isinstance(handler, _ConsoleHandler) for handler in logger.handlers):
        logger.addHandler(_ConsoleHandler())
        logger.propagate = False


class _ConsoleHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        console.print(f"impasto: {record.getMessage()}")


def format_duration(seconds: float) -> str:
    """Return a duration in minutes, hours or days."""
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{max(1, minutes)} min"
    return f"{minutes / 60:.0f} h" if minutes < 60 * 48 else f"{minutes / 60 / 24:.0f} days"


def print_table(rows: Iterable[Sequence[str]], *headings: str) -> None:
    """Print rows in columns on standard output."""
    table = Table(*headings, box=None, show_header=bool(headings), padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, soft_wrap=True, markup=False).print(table)


def pull_missing(name: str, *, quiet: bool = False) -> None:
    """Download the weights of a network unless they are on this machine. Raises `WeightsError`."""
    from impasto import weights

    if not weights.is_cached(name):
        pull_weights(name, quiet=quiet)


def pull_weights(name: str, *, quiet: bool = False) -> None:
    """Download weights, with a progress bar. Raises `WeightsError`."""
    from impasto import weights

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), DownloadColumn())
    with Progress(*columns, console=console, disable=quiet) as bars:
        task = bars.add_task(f"weights of {name}", total=None)
        for progress in weights.pull(name):
            if progress.failed:
                if not quiet:
                    bars.console.print(f"Download failed: {progress.failed}. Trying the next mirror.")
                continue
            bars.update(
                task,
                description=f"weights of {name} from {progress.address}",
                completed=progress.done_bytes,
                total=progress.total_bytes or None,
            )
