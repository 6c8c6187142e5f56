"""One picture with tiles on two local Ray nodes: the same bytes as on one machine, even when nodes die."""

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

from impasto.config import Config, Plan
from impasto.distributed.connection import Cluster, ClusterError
from impasto.distributed.tile_backend import _require_tiles, choose_tile_px
from impasto.engine.memory import Workload
from impasto.engine.tiles import cut_tiles

pytestmark = pytest.mark.xdist_group("cluster")

LARGE = ["--size", "448", "--threads", "1"]


@pytest.fixture(scope="module")
def report(nodes: Nodes) -> dict[str, Any]:
    """Run compare_tiles.py, where two actors die one after another, and return its report."""
    command = [sys.executable, "-m", "builders.compare_tiles", nodes.address]
    process = subprocess.run(
        command, cwd=Path(__file__).parent, env=nodes.environment, capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 0, process.stderr
    report: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return report


def test_two_actors_match_the_untiled_gradient(report: dict[str, Any]) -> None:
    assert report["actors"] == 2
    assert report["error"] < 1e-5


def test_actors_match_local_tiles_exactly(report: dict[str, Any]) -> None:
    assert report["same"]
    assert report["same losses"]
    assert report["same neighbors"]
    assert report["same with edges that meet"]


def test_constant_data_is_sent_once(report: dict[str, Any]) -> None:
    content = 512 * (161 // 8) * (250 // 8) * 4
    assert report["bytes_first"] - report["bytes_again"] >= content


def test_tiles_of_a_lost_actor_are_retried_on_others(report: dict[str, Any]) -> None:
    assert report["same after losing one"]
    assert report["failures"] == 1
    assert report["same after losing one midway"]
    assert report["failures midway"] == 2


def test_continues_locally_after_losing_all_actors(report: dict[str, Any]) -> None:
    assert report["remaining"] == 0
    assert report["same after losing all"]


def test_rejects_an_actor_with_another_version(report: dict[str, Any]) -> None:
    assert report["version error"] == "No actor could start: another Impasto"


def workload(height: int, width: int) -> Workload:
    return Workload(height, width, ((300, 400),), Config().resolve(height, width))


def plan(**values: Any) -> Plan:
    return Plan(device="cpu", engine="manual", threads=1, torch=torch.__version__, **values)


@pytest.mark.parametrize(("count", "size"), [(2, (683, 1024)), (6, (1365, 2048)), (16, (4096, 4096))])
def test_tiles_are_balanced_across_actors(count: int, size: tuple[int, int]) -> None:
    tile_px = choose_tile_px(workload(*size), plan(), count, 64e9)
    tiles = cut_tiles(workload(*size).network, workload(*size).layers, *size, tile_px)
    loads = [0] * count
    for number, tile in enumerate(tiles):
        loads[number % count] += tile.pixels
    assert max(loads) < 2 * sum(loads) / count
    assert max(loads) < size[0] * size[1] * (2 / count), "more than twice its share of the picture"


def test_tiles_fit_actor_memory() -> None:
    small, large = (choose_tile_px(workload(4096, 4096), plan(), 2, memory) for memory in (2e9, 64e9))
    assert small < large <= 4096
    assert choose_tile_px(workload(4096, 4096), plan(tile_px=256), 2, 64e9) <= 256


def start_stylize(nodes: Nodes, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "impasto", "stylize", "photo.jpg", "painting.png", "--iterations", "3", *options]
    return subprocess.Popen(
        [*command, "--on", nodes.address],
        env=nodes.environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.cluster
@pytest.mark.weights
def test_losing_node_and_head_changes_no_pixel(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)

    def saved_at() -> float:
        return Path("run.impasto").stat().st_mtime if Path("run.impasto").exists() else 0.0

    def wait_for_checkpoint() -> None:
        before, deadline = saved_at(), time.monotonic() + 300
        while saved_at() == before and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.02)

    with two_nodes() as nodes:
        process = start_stylize(
            nodes, *LARGE, "-o", "there.png", "--checkpoint", "run.impasto", "--checkpoint-every", "0.1"
        )
        wait_for_checkpoint()
        nodes.kill_second()
        wait_for_checkpoint()
        nodes.kill_head()
        _, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
    assert "2 actors" in stderr
    assert "continuing on this machine" in stderr
    assert "Traceback" not in stderr
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "impasto", "reproduce", "there.png", "-o", "here.png"]
    subprocess.run(command, env=environment, check=True, timeout=300)
    assert (read_pixels(Path("there.png")) == read_pixels(Path("here.png"))).all()


def test_joined_run_stays_on_its_machine() -> None:
    cluster = Cluster(cpus=4, gpus=0, memory=8e9, nodes=2, min_cpus=2)
    _require_tiles(workload(896, 1344), plan(tile_px=448), cluster, is_recorded=True)
    with pytest.raises(ClusterError, match="started on one machine"):
        _require_tiles(workload(896, 1344), plan(tile_px=448, join="pool2"), cluster, is_recorded=True)


@pytest.mark.weights
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "128"], "too few for several machines"),
        (["--style-loss", "sliced-wasserstein", *LARGE], "measures a whole picture"),
        (["--threads", "2"], "Lower --threads"),
    ],
)
def test_undistributable_run_is_a_one_line_error(
    desk: Path, monkeypatch: pytest.MonkeyPatch, nodes: Nodes, options: list[str], message: str
) -> None:
    monkeypatch.chdir(desk)
    process = start_stylize(nodes, *options, "-o", "there.png")
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 2
    assert message in stderr
    assert "Traceback" not in stderr
    assert not Path("there.png").exists()
