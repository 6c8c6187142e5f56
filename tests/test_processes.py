"""A test run leaves no process behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from builders.processes import Program
from builders.waiting import wait_until

SLEEP = [sys.executable, "-c", "import time; time.sleep(1000)"]

LEAVES_A_PROCESS = """
import subprocess, time
from builders.processes import start_reaper
reaper = start_reaper()
print(subprocess.Popen({command}, start_new_session=True).pid, flush=True)
time.sleep(1000)
"""


def has_ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_program_is_killed_when_its_test_fails() -> None:
    with pytest.raises(AssertionError), Program(SLEEP) as program:
        raise AssertionError("the test failed")
    assert program.returncode


def test_processes_of_a_killed_run_are_killed() -> None:
    code = LEAVES_A_PROCESS.format(command=SLEEP)
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        left = int(run.stdout.readline())
        assert not has_ended(left)
        run.kill()
    wait_until(lambda: has_ended(left))
