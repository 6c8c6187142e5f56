"""The results of checks, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Fact", "Finding", "Report", "Status"]

Status = Literal["ok", "note", "problem"]

Fact = str | int | float | bool | None


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    summary: str
    """What was found, in one line."""

    status: Status = "ok"
    """`note`: everything works, but something is missing or worth knowing. `problem`: something does not work."""

    advice: str = ""
    """What to do about it; empty if there is nothing to do."""

    facts: dict[str, Fact] = field(default_factory=dict)
    """The same for programs."""


@dataclass(frozen=True)
class Report:
    """The results of all checks."""

    version: str
    problems: int
    """How many findings are problems."""

    findings: dict[str, Finding]
    """The finding of each check, by the name of the check."""
