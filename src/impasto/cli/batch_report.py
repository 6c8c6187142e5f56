"""The output of `impasto batch`: an estimate, or what was painted."""

from __future__ import annotations

import json as json_format

from impasto.cli.console import console, format_duration
from impasto.cli.flags import name_flags
from impasto.jobs.batch_report import BatchEstimate, BatchReport

__all__ = ["print_estimate", "print_report"]


def print_estimate(estimate: BatchEstimate, total: int, *, json: bool) -> None:
    """Print what a batch of `total` pictures will take."""
    if json:
        summary = {
            "total": total,
            "missing": len(estimate.missing),
            "workers": estimate.workers,
            "seconds": round(estimate.seconds),
            "failed": _failures(estimate),
            "outputs": [str(item.output) for item in estimate.missing],
        }
        print(json_format.dumps(summary))
        return
    for item in estimate.missing:
        print(f"{item.output}  {' × '.join(item.sources.values())}")
    for output, error in estimate.failed.items():
        console.print(f"{output} will fail: {name_flags(error)}")
    duration = format_duration(estimate.seconds)
    print(f"{len(estimate.missing)} of {total} are missing: about {duration} with {estimate.workers} workers")


def print_report(report: BatchReport, *, json: bool, quiet: bool) -> None:
    """Print how many pictures were painted, existed already and failed, with reasons."""
    if json:
        summary = {
            "done": len(report.painted),
            "skipped": len(report.existing),
            "failed": _failures(report),
            "outputs": [str(item.output) for item in report.items if item.output in report.losses],
            "duplicates": {str(output): str(first) for output, first in report.duplicates.items()},
            "seconds": round(report.seconds, 3),
        }
        print(json_format.dumps(summary))
        return
    for output, error in report.failed.items():
        console.print(f"{output}: {name_flags(error)}")
    if not quiet:
        for output, first in report.duplicates.items():
            console.print(f"{output} is the same picture as {first}")
        print(f"{len(report.painted)} painted, {len(report.existing)} already there, {len(report.failed)} failed")


def _failures(outcome: BatchEstimate | BatchReport) -> list[dict[str, str]]:
    return [{"output": str(output), "error": error} for output, error in outcome.failed.items()]
