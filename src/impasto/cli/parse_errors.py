"""Errors of the command line's parser on one line: what was given, what is expected, where to read on."""

from __future__ import annotations

import difflib
import types
import typing
from typing import Any

from cyclopts import CoercionError, CycloptsError, MissingArgumentError, UnusedCliTokensError

__all__ = ["describe_parse_error"]

KINDS = {int: "a whole number", float: "a number", bool: "true or false"}
"""Descriptions of the types of values."""

MIN_LIKENESS = 0.7
"""Least likeness of a suggestion: `gpu` is not meant to be `cpu`."""


def describe_parse_error(error: CycloptsError) -> str:
    """Describe what is wrong with a command line; in cyclopts' words where it has good ones."""
    command = " ".join(["impasto", *(error.command_chain or ())])
    if isinstance(error, UnusedCliTokensError):
        words = " ".join(error.unused_tokens or ())
        return f"{words!r}: this command takes no more arguments. See: {command} --help"
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        name = error.keyword or error.argument.name
        return f"{name} {'needs a value' if error.keyword else 'is missing'}. See: {command} --help"
    if (
        isinstance(error, CoercionError)
        and error.msg is None
        and error.token is not None
        and error.argument is not None
    ):
        given, expected = error.token.value, _describe_type(error.target_type)
        if expected:
            near = difflib.get_close_matches(given, _choices(error.target_type), n=1, cutoff=MIN_LIKENESS)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            return f"{error.token.keyword or error.argument.name} {given}: give {expected}.{hint}"
    return " ".join(str(error).split())


def _describe_type(kind: Any) -> str:
    """Describe the values of a type: `a whole number, or auto`; empty if a part of it has no description."""
    parts = [part for part in _parts(kind) if part not in KINDS and typing.get_origin(part) is not typing.Literal]
    if parts:
        return ""
    texts = [KINDS[part] for part in _parts(kind) if part in KINDS] + _choices(kind)
    return ", or ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def _choices(kind: Any) -> list[str]:
    """Return the names among the values of a type."""
    literals = (part for part in _parts(kind) if typing.get_origin(part) is typing.Literal)
    return [str(value) for literal in literals for value in typing.get_args(literal)]


def _parts(kind: Any) -> list[Any]:
    """Return the types of a union without None, or the only type."""
    kinds = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
    return [part for part in kinds if part is not type(None)]
