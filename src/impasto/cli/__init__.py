"""The command line, a thin layer over the library. Only this package prints or exits.

Commands are imported when they are called, so that `impasto --help` is fast.
"""

from __future__ import annotations

import gc
import io
import os
import sys

from cyclopts import App, CycloptsError

from impasto import __version__
from impasto.cli.signals import catch_early
from impasto.process import set_environment

__all__ = ["app", "main", "run"]

GC_OBJECTS = 10_000
"""New objects after which Python looks for unused cycles; its own default is 700 to 2,000."""

app = App(
    name="impasto",
    help="""Neural style transfer: a photo's content in a painting's style.

    Start with: impasto stylize PHOTO PAINTING -o painted.png""",
    version=f"impasto {__version__}",
    version_flags=["--version"],
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)
COMMANDS = (
    ("stylize", "stylize:stylize", "Paint CONTENT in the manner of STYLE."),
    ("demo", "stylize:demo", "Paint a photo that ships with Impasto."),
    ("video", "video:video", "Paint a clip in the manner of STYLE."),
    ("reproduce", "reproduce:reproduce", "Repeat the run recorded in a picture."),
    ("score", "score:score", "Score a picture against its content and style."),
    ("insight", "insight:app", "See what the network sees."),
    ("studio", "studio:studio", "Open the studio, a web page on this machine."),
    ("batch", "batch:batch", "Paint every content of a folder in every style of another."),
    ("jobs", "jobs:app", "Manage a durable queue of runs."),
    ("krita", "krita:app", "Install the plug-in for Krita."),
    ("presets", "presets:presets", "List presets, or show one as TOML."),
    ("weights", "weights:weights", "List, pull, import and verify weights."),
    ("samples", "samples:samples", "List or write the pictures that ship with Impasto."),
    ("doctor", "doctor:doctor", "Check this installation and machine."),
    ("plan", "plan:plan", "Show how this machine carries out runs, or measure it again."),
)
SYNONYMS: dict[str, dict[str, tuple[str, ...]]] = {
    "stylize": {"synonym": ("paint", "run", "transfer")},
    "video": {"synonym": ("clip", "film")},
}
"""Words that are no commands, by the command that the error suggests for them, as arguments: cyclopts takes none for a
command that is an app of its own."""

for number, (name, target, summary) in enumerate(COMMANDS):
    app.command(f"impasto.cli.{target}", name=name, help=summary, sort_key=number, **SYNONYMS.get(name, {}))


def main(arguments: list[str] | None = None) -> int:
    """Run a command line and return its exit status: 0 done, 2 a user's mistake, 130 interrupted."""
    from impasto.errors import ImpastoError

    _prepare_process()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # for names that the terminal cannot encode
            stream.reconfigure(errors="backslashreplace")
    try:
        with catch_early():
            status = app(
                [_expand(word) for word in (arguments if arguments is not None else sys.argv[1:])],
                exit_on_error=False,
                print_error=False,
                result_action="return_value",
            )
    except CycloptsError as error:
        from impasto.cli.parse_errors import describe_parse_error

        return _fail(describe_parse_error(error), 2)  # as cyclopts documents
    except ImpastoError as error:
        from impasto.cli.flags import name_flags

        return _fail(name_flags(" ".join(str(error).split())), 2)
    except KeyboardInterrupt:
        return _fail("stopped before the result was written", 130)
    except BrokenPipeError:
        return 141
    except OSError as error:  # the output stream is full or closed
        return _fail(str(error), 1)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error).lower():
            raise
        return _fail("not enough memory for a picture of this size. Give --memory, such as 4GB, or lower --size.", 1)
    return int(status or 0)


def _prepare_process() -> None:
    """Set up garbage collection, and the environment of torch before it is loaded."""
    # Imports make 200,000 objects that stay. By default, Python looks through them 400 times, for 0.2 of 1.1 seconds.
    # Steps leave no cycles to collect (benchmarks/startup.py).
    gc.set_threshold(GC_OBJECTS)
    set_environment()


def _expand(word: str) -> str:
    """Expand `~` where the shell did not: in quotes, and after `=`, such as in `--output=~/picture.png`.

    `-` becomes `stdin:`, because it would be taken for an option.
    """
    if word == "-":
        return "stdin:"
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    # Unlike pathlib's function, this one leaves `~` where there is no home folder.
    return option + equals + (os.path.expanduser(value) if value.startswith("~") else value)  # noqa: PTH111


def run() -> None:
    """Run the `impasto` script."""
    sys.exit(main())


def _fail(message: str, status: int) -> int:
    print(f"impasto: {message}", file=sys.stderr)
    return status
