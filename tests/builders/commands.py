"""The command line, in this process or in a new one."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto.cli import main


@dataclass
class CommandResult:
    """The exit status and the output of a command."""

    returncode: int
    stdout: str
    stderr: str


def run_command(*arguments: str, cwd: Path) -> CommandResult:
    """Run a command in this process, which saves seconds."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        status = main(list(arguments))
    return CommandResult(status, stdout.getvalue(), stderr.getvalue())


def run_process(*arguments: str, cwd: Path, **options: Any) -> CommandResult:
    """Run a command in a new process."""
    command = [sys.executable, "-m", "impasto", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, **options)
    return CommandResult(done.returncode, done.stdout, done.stderr)
