"""Write docs/commands.md from the command line. A test compares the two."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

from cyclopts import App
from cyclopts.argument import Argument

from impasto.cli import app
from impasto.cli.options import GROUPS, flag_name
from impasto.config import Config, RunOptions

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"
SHARED = {flag_name(name) for model in (Config, RunOptions) for name in model.model_fields}


def render() -> str:
    """Return the text of the page."""
    parts = [
        "# Commands\n",
        "`impasto COMMAND --help` prints the same texts. [Options](options.md) describes the options that several",
        "commands share.\n",
        "This page is generated from the command line by `scripts/write_commands.py`.\n",
    ]
    for words, command in _commands(app, ["impasto"]):
        parts += [
            f"## {' '.join(words)}\n",
            f"{inspect.cleandoc(command.help)}\n",
            *_usage(words, command),
            *_table(command),
        ]
    return "\n".join(parts)


def _commands(above: App, words: list[str]) -> Iterator[tuple[list[str], App]]:
    """Yield every command that can be run, with its words."""
    for name in (name for name in above if not name.startswith("-")):
        command = above[name]
        if command.default_command is not None:
            yield [*words, name], command
        yield from _commands(command, [*words, name])


def _arguments(command: App, *, shared: bool) -> list[Argument]:
    """Return the arguments that come from the option models, or the command's own."""
    return [argument for argument in command.assemble_argument_collection() if _is_shared(argument) == shared]


def _is_shared(argument: Argument) -> bool:
    return any(group in argument.parameter.group for group in GROUPS.values())  # type: ignore[operator]


def _usage(words: list[str], command: App) -> list[str]:
    own = _arguments(command, shared=False)
    places = [argument for argument in own if argument.index is not None]
    named = [_name(argument) if argument.required else f"[{_name(argument)}]" for argument in places]
    options = ["[OPTIONS]"] if len(own) > len(places) or _arguments(command, shared=True) else []
    return ["```text", " ".join([*words, *named, *options]), "```\n"]


def _name(argument: Argument) -> str:
    return argument.names[0].lstrip("-").upper()


def _table(command: App) -> list[str]:
    rows = [
        f"| `{_name(argument) if argument.index is not None else '`, `'.join(argument.names)}` "
        f"| {argument.parameter.help} |"
        for argument in _arguments(command, shared=False)
    ]
    table = ["| argument | description |", "|---|---|", *rows, ""] if rows else []
    return [*table, *_shared(command)]


def _shared(command: App) -> list[str]:
    """Return a sentence about the shared options that a command takes."""
    taken = {argument.name for argument in _arguments(command, shared=True)}
    if not taken:
        return []
    missing = sorted(SHARED - taken)
    if not missing:
        return ["It also takes all [options](options.md).\n"]
    if len(missing) < len(taken):
        return [f"It also takes all [options](options.md) except {_listed(missing)}.\n"]
    return [f"It also takes these [options](options.md): {_listed(sorted(taken))}.\n"]


def _listed(flags: list[str]) -> str:
    return ", ".join(f"`{flag}`" for flag in flags)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
