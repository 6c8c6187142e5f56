"""One picture whose tiles are measured on two Ray nodes of this machine: the same bytes, whoever dies meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from builders.cluster import Nodes, two_nodes
from builders.pixels import read_pixels

from impasto.cli import main
from impasto.config import Config, Plan
from impasto.distributed.tile_backend import choose_tile_px
from impasto.engine.memory import Workload
from impasto.engine.tiles import cut_tiles

pytestmark = pytest.mark.xdist_group("cluster")

LARGE = ["--size", "448", "--threads", "1"]


@pytest.fixture(scope="module")
def told(nodes: Nodes) -> dict[str, Any]:
    """Evaluate with two actors that die one after another, and return the outcome."""
    command = [sys.executable, "-m", "builders.compare_tiles", nodes.address]
    done = subprocess.run(
        command, cwd=Path(__file__).parent, env=nodes.environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_two_actors_match_the_untiled_gradient(told: dict[str, Any]) -> None:
    assert told["members"] == 2
    assert told["error"] < 1e-5


def test_actors_match_local_tiles_exactly(told: dict[str, Any]) -> None:
    assert told["same"]
    assert told["measured"]


def test_constant_data_is_sent_once(told: dict[str, Any]) -> None:
    content = 512 * (161 // 8) * (250 // 8) * 4
    assert told["first"] - told["again"] >= content


def test_tiles_of_a_lost_actor_are_retried_on_others(told: dict[str, Any]) -> None:
    assert told["one gone"]
    assert told["lost"] == 1
    assert told["gone in the middle"]
    assert told["lost then"] == 2


def test_continues_locally_after_losing_all_actors(told: dict[str, Any]) -> None:
    assert told["left"] == 0
    assert told["all gone"]


def test_rejects_an_actor_with_another_version(told: dict[str, Any]) -> None:
    assert told["unfit"] == "No actor could start: another Impasto"


def work(height: int, width: int) -> Workload:
    return Workload(height, width, ((300, 400),), Config().resolve(height, width))


def plan(**values: Any) -> Plan:
    return Plan(device="cpu", engine="manual", threads=1, torch=torch.__version__, **values)


@pytest.mark.parametrize(("count", "size"), [(2, (683, 1024)), (6, (1365, 2048)), (16, (4096, 4096))])
def test_tiles_are_balanced_across_actors(count: int, size: tuple[int, int]) -> None:
    block = choose_tile_px(work(*size), plan(), count, 64e9)
    tiles = cut_tiles(work(*size).network, work(*size).layers, *size, block)
    loads = [0] * count
    for number, tile in enumerate(tiles):
        loads[number % count] += tile.pixels
    assert max(loads) < 2 * sum(loads) / count
    assert max(loads) < size[0] * size[1] * (2 / count), "more than twice its part of the picture"


def test_tiles_fit_actor_memory() -> None:
    tight, roomy = (choose_tile_px(work(4096, 4096), plan(), 2, room) for room in (2e9, 64e9))
    assert tight < roomy <= 4096
    assert choose_tile_px(work(4096, 4096), plan(tile_px=256), 2, 64e9) <= 256


def painting_on(nodes: Nodes, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "impasto", "stylize", "photo.jpg", "painting.png", "--iterations", "3", *words]
    return subprocess.Popen(
        [*command, "--on", nodes.address],
        env=nodes.environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.weights
def test_losing_node_and_head_changes_no_pixel(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)

    def kept() -> float:
        return Path("run.impasto").stat().st_mtime if Path("run.impasto").exists() else 0.0

    def until_kept_again() -> None:
        before, until = kept(), time.monotonic() + 120
        while kept() == before and time.monotonic() < until:
            assert process.poll() is None
            time.sleep(0.02)

    with two_nodes() as nodes:
        process = painting_on(
            nodes, *LARGE, "-o", "there.png", "--checkpoint", "run.impasto", "--checkpoint-every", "0.1"
        )
        until_kept_again()
        nodes.kill_second()
        until_kept_again()
        nodes.kill_head()
        _, said = process.communicate(timeout=240)
        assert process.returncode == 0, said
    assert "2 actors" in said
    assert "continuing on this machine" in said
    assert "Traceback" not in said
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "impasto", "reproduce", "there.png", "-o", "here.png"]
    subprocess.run(command, env=environment, check=True, timeout=300)
    assert (read_pixels(Path("there.png")) == read_pixels(Path("here.png"))).all()


@pytest.mark.weights
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--size", "128"], "too few to be spread"),
        (["--style-loss", "nearest", *LARGE], "looks at a whole picture"),
        (["--threads", "2"], "Lower --threads"),
    ],
)
def test_undistributable_run_is_a_one_line_error(
    desk: Path, monkeypatch: pytest.MonkeyPatch, nodes: Nodes, words: list[str], why: str
) -> None:
    monkeypatch.chdir(desk)
    process = painting_on(nodes, *words, "-o", "there.png")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert why in said
    assert "Traceback" not in said
    assert not Path("there.png").exists()


def test_unreachable_address_is_a_one_line_error(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(desk)
    assert main(["stylize", "photo.jpg", "painting.png", "--on", "127.0.0.1:1"]) == 2
    assert "does not answer" in capsys.readouterr().err
