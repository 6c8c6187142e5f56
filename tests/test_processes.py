"""A test run leaves no process behind, and one of its workers waits while the others compute."""

from __future__ import annotations

import subprocess
import sys
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest
from builders.processes import Program
from builders.scheduling import WAITING, WaitingAside
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


class Worker:
    """A worker of pytest-xdist that only notes which tests it is given."""

    def __init__(self) -> None:
        self.gateway = SimpleNamespace(id="gw")
        self.given: list[int] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def distribute(tests: list[str], count: int) -> list[list[str]]:
    """Run a scheduler whose workers finish their tests in turn, and return the tests of each."""
    scheduler: Any = WaitingAside(cast("Any", SimpleNamespace(getvalue=lambda _: ["popen"] * count, option=OPTIONS)))
    workers = [Worker() for _ in range(count)]
    for worker in workers:
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, tests)
    scheduler.schedule()
    done = [0] * count
    while scheduler.has_pending:
        for number, worker in enumerate(workers):
            if done[number] < len(worker.given):
                scheduler.mark_test_complete(worker, worker.given[done[number]])
                done[number] += 1
    assert all(worker.shutting_down for worker in workers)
    return [[tests[index] for index in worker.given] for worker in workers]


OPTIONS = SimpleNamespace(loadscopereorder=False)
WAIT = [f"test_cluster.py::test_{number}@{WAITING}" for number in range(5)]
COMPUTE = [f"test_page.py::test_{number}@page" for number in range(4)] + [f"test.py::test_{n}" for n in range(9)]


@pytest.mark.parametrize("tests", [[*WAIT, *COMPUTE], [*COMPUTE, *WAIT]])
def test_last_of_three_workers_runs_the_tests_that_wait(tests: list[str]) -> None:
    *others, last = distribute(tests, 3)
    assert last == WAIT
    assert sorted(chain(*others)) == sorted(COMPUTE)
    assert all(others)


@pytest.mark.parametrize(("tests", "count"), [([*WAIT, *COMPUTE], 1), ([*WAIT, *COMPUTE], 2), (COMPUTE, 3)])
def test_all_tests_are_run_by_fewer_workers_too(tests: list[str], count: int) -> None:
    assert sorted(chain(*distribute(tests, count))) == sorted(tests)
