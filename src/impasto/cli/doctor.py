"""`impasto doctor`. It imports as little as it can, so that it starts where other commands do not."""

from __future__ import annotations

import json as json_format
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from impasto.diagnosis import Finding, Report, diagnose

__all__ = ["doctor"]

STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


def doctor(
    *, json: Annotated[bool, Parameter(name="--json", negative="", help="Print the report as one JSON object.")] = False
) -> int:
    """Check this installation and machine: versions, devices, kernels, weights, folders and extras.

    `ok` works, `note` is optional, and `problem` comes with what to do. The exit status is 1 if there is a problem.
    """
    report = diagnose()
    if json:
        print(json_format.dumps(asdict(report), ensure_ascii=False))
    else:
        _print_report(report)
    return 1 if report.problems else 0


def _print_report(report: Report) -> None:
    screen = Console(highlight=False, markup=False)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, finding in report.findings.items():
        table.add_row(Text(finding.status, STYLES[finding.status]), name, _describe(finding))
    screen.print(table)
    if report.problems:
        count = "1 problem" if report.problems == 1 else f"{report.problems} problems"
        screen.print(f"\n{count} found.", style=STYLES["problem"])
    else:
        screen.print("\nNo problems found.")


def _describe(finding: Finding) -> Text:
    text = Text(finding.summary)
    if finding.advice:
        text.append(f"\n{finding.advice}", "dim" if finding.status == "note" else "")
    return text
