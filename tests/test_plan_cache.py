"""Measured plans: kept by machine, measured again when anything differs, and never a reason to stop."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from builders.commands import run_command
from pydantic import TypeAdapter

from impasto.engine import plan_cache, planning
from impasto.engine.plan_cache import describe_machine, forget, plan_folder, recall
from impasto.engine.timing import ConvolutionChoice, Precision
from impasto.errors import OutputError

INTEL = (
    "processor\t: 0\nmodel name\t: Xeon\nflags\t\t: avx2\ncpu MHz\t\t: 2000\n\nprocessor\t: 1\nmodel name\t: other\n"
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Use an empty cache, as a new process does."""
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    _begin_process()
    yield tmp_path / "cache"
    _begin_process()


def _begin_process() -> None:
    describe_machine.cache_clear()
    planning._choose_once.cache_clear()


@pytest.fixture
def timings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record each timing of convolutions, which chooses something else each time."""
    timed: list[str] = []

    def choose(device: str, precision: Precision | None = None) -> ConvolutionChoice:
        timed.append(device)
        return ConvolutionChoice(precision or "float32", len(timed), None)

    monkeypatch.setattr(planning, "choose_convolution", choose)
    return timed


def choose(threads: int = 2, precision: Precision | None = None) -> tuple[str, int | None]:
    """Choose as a new process does."""
    _begin_process()
    choice = planning._choose_once("cpu", precision, threads)
    return choice.precision, choice.winograd_channels


def test_second_process_reads_what_the_first_measured(timings: list[str]) -> None:
    assert choose() == choose() == ("float32", 1)
    assert len(timings) == 1


def test_a_process_keeps_its_choice(timings: list[str]) -> None:
    """All pictures of a batch are painted alike, also when the cache is emptied in between."""
    first = choose()
    assert forget() == 1
    assert planning._choose_once("cpu", None, 2).winograd_channels == first[1]
    assert len(timings) == 1


def test_threads_and_precision_have_choices_of_their_own(timings: list[str]) -> None:
    assert len({choose(), choose(threads=1), choose(precision="bfloat16")}) == 3
    assert choose(threads=1) == ("float32", 2)


CHANGES: dict[str, Callable[[pytest.MonkeyPatch, Path], object]] = {
    "processor": lambda patch, cpuinfo: cpuinfo.write_text(INTEL.replace("Xeon", "Core")),
    "features of the processor": lambda patch, cpuinfo: cpuinfo.write_text(INTEL.replace("avx2", "avx2 amx")),
    "torch": lambda patch, _: patch.setattr(torch, "__version__", "1.0"),
    "impasto": lambda patch, _: patch.setattr(plan_cache, "__version__", "0.0"),
    "kernels": lambda patch, _: patch.setattr(plan_cache, "describe_kernels", lambda: "avx1024 1.0"),
    "code": lambda patch, _: patch.setattr(plan_cache, "_engine_sha256", lambda: "changed"),
    "instructions": lambda patch, _: patch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_machine_is_measured_anew(
    change: str, timings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(INTEL)
    monkeypatch.setattr(plan_cache, "CPUINFO", cpuinfo)
    assert choose() == ("float32", 1)
    CHANGES[change](monkeypatch, cpuinfo)
    assert choose() == ("float32", 2)
    monkeypatch.undo()


def test_clock_rate_of_the_processor_does_not_matter(
    timings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(plan_cache, "CPUINFO", cpuinfo)
    for text in (INTEL, INTEL.replace("2000", "3000")):
        cpuinfo.write_text(text)
        assert choose() == ("float32", 1)


def test_names_the_processor_of_a_system_without_cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_cache, "CPUINFO", tmp_path / "missing")
    assert describe_machine("cpu")["hardware"]


def test_card_is_part_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A card")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    assert describe_machine("cuda")["hardware"] == "A card (9, 0)"


def _entry(**changes: object) -> str:
    """Return the text of a file that differs in these values of its choice."""
    choice = {"precision": "float32", "winograd_channels": 1, "kernels": None} | changes
    return f'{{"key": KEY, "choice": {json.dumps(choice)}}}'


CONTENTS = {
    "empty": "",
    "truncated": '{"key": {"device"',
    "not an object": "[1, 2]",
    "another key": _entry().replace("KEY", "{}"),
    "no choice": '{"key": KEY}',
    "not a choice": '{"key": KEY, "choice": 1}',
    "unknown precision": _entry(precision="float8"),
    "text for a number": _entry(winograd_channels="1"),
    "impossible number": _entry(winograd_channels=0),
    "kernels of another machine": _entry(kernels="other"),
    "not text": "\udcff",
}


@pytest.mark.parametrize("content", CONTENTS)
def test_damaged_or_foreign_file_is_replaced(content: str, timings: list[str]) -> None:
    choose()
    (path,) = plan_folder().glob("*.json")
    key = json.dumps(json.loads(path.read_text())["key"])
    path.write_bytes(CONTENTS[content].replace("KEY", key).encode(errors="surrogateescape"))
    assert choose() == ("float32", 2)
    assert choose() == ("float32", 2)


def test_folder_in_place_of_the_file_is_left_alone(timings: list[str]) -> None:
    choose()
    (path,) = plan_folder().glob("*.json")
    path.unlink()
    path.mkdir()
    assert choose() == ("float32", 2)
    with pytest.raises(OutputError, match="cannot be removed"):
        forget()


def test_runs_without_a_writable_folder(timings: list[str], cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    assert choose() == ("float32", 1)
    assert choose() == ("float32", 2)
    assert forget() == 0


def test_runs_when_a_full_disk_refuses_the_file(
    timings: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise OutputError("No space left on device")

    monkeypatch.setattr(plan_cache, "atomic_write", refuse)
    assert choose() == ("float32", 1)
    assert list((cache / "plans").glob("*.json")) == []


def _measure_slowly(number: int) -> int:
    def measure() -> int:
        time.sleep(0.2)
        return number

    return recall(measure, TypeAdapter(int), device="cpu")


def test_processes_that_start_at_once_choose_alike() -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert len(set(pool.map(_measure_slowly, range(4), chunksize=1))) == 1


def test_goes_on_when_another_process_measures_for_too_long(
    timings: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_cache, "LOCK_S", 0.01)
    monkeypatch.setattr(plan_cache, "try_lock", lambda file: False)
    assert choose() == ("float32", 1)
    assert len(list((cache / "plans").glob("*.json"))) == 1


def test_command_shows_the_plan_and_measures_again(timings: list[str], tmp_path: Path) -> None:
    def winograd(*arguments: str) -> int:
        _begin_process()
        result = run_command("plan", "--device", "cpu", "--json", *arguments, cwd=tmp_path)
        assert (result.returncode, result.stderr) == (0, "")
        return int(json.loads(result.stdout)["winograd_channels"])

    assert [winograd(), winograd(), winograd("--measure-again"), winograd()] == [1, 1, 2, 2]
    shown = run_command("plan", "--device", "cpu", cwd=tmp_path)
    assert "winograd_channels" in shown.stdout
    assert str(plan_folder()) in shown.stdout
