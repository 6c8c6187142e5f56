"""The command line: a thin front. Only this package prints or exits.

Commands are loaded when they are called, so that `impasto --help` is immediate.
"""

from __future__ import annotations

import io
import os
import sys

from cyclopts import App, CycloptsError, UnusedCliTokensError

from impasto import __version__
from impasto.cli.signals import early

__all__ = ["app", "main", "run"]

app = App(
    name="impasto",
    help="Neural style transfer: a photo's content in a painting's style.",
    version=f"impasto {__version__}",
    version_flags=["--version"],
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)
app.command("impasto.cli.stylize:stylize", name="stylize", help="Paint CONTENT in the manner of STYLE.")
app.command("impasto.cli.stylize:demo", name="demo", help="Paint a photo that ships with Impasto.")
app.command("impasto.cli.reproduce:reproduce", name="reproduce", help="Repeat the run that is recorded in a picture.")
app.command("impasto.cli.score:score", name="score", help="Score a picture against its content and style.")
app.command("impasto.cli.insight:app", name="insight", help="See what the network sees.")
app.command("impasto.cli.studio:studio", name="studio", help="Open the studio, a web page on this machine.")
app.command("impasto.cli.batch:batch", name="batch", help="Paint every content of a folder in every style of another.")
app.command("impasto.cli.jobs:app", name="jobs", help="Runs in a queue that survives anything.")
app.command("impasto.cli.presets:presets", name="presets", help="List presets, or show and save them.")
app.command("impasto.cli.weights:weights", name="weights", help="List, pull, import and verify weights.")
app.command("impasto.cli.samples:samples", name="samples", help="List or write the pictures that ship with Impasto.")


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; the exit status: 0 done, 2 a user's mistake, 130 interrupted."""
    from impasto.errors import ImpastoError

    # Threads that spin while they wait slow everything on a busy machine, by up to five times (measured at
    # a load of 3 on two cores); those that never do lose a fifth of the time at small sizes on an idle one.
    # Ten microseconds of it cost neither. Only before torch is loaded can they be told.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot spell is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        with early():
            status = app(
                arguments if arguments is not None else sys.argv[1:],
                exit_on_error=False,
                print_error=False,
                result_action="return_value",
            )
    except UnusedCliTokensError as error:
        command = " ".join(["impasto", *(error.command_chain or ())])
        words = " ".join(error.unused_tokens or ())
        return _fail(f"{words!r} is more than this command takes. See: {command} --help", 2)
    except (CycloptsError, ImpastoError) as error:
        # Cyclopts documents 2 for what it cannot parse; ours are a user's mistakes too.
        return _fail(" ".join(str(error).split()), 2)
    except KeyboardInterrupt:
        return _fail("stopped before the result was written", 130)
    except BrokenPipeError:
        return 141
    except OSError as error:  # what is printed to is full, or gone
        return _fail(str(error), 1)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error).lower():
            raise
        return _fail("not enough memory for a picture of this size. Lower --size.", 1)
    return int(status or 0)


def run() -> None:
    """The `impasto` script."""
    sys.exit(main())


def _fail(message: str, status: int) -> int:
    print(f"impasto: {message}", file=sys.stderr)
    return status
