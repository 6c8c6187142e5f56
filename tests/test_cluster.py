"""A batch on two local Ray nodes: the same pictures as on one machine, even when processes die."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from builders.cluster import Nodes, two_nodes
from builders.pixels import textured_scene
from builders.processes import Program
from builders.slow_steps import SLOW_STEPS, set_slow
from builders.waiting import wait_until
from PIL import Image

from impasto import read_recipe
from impasto.cli import main
from impasto.clips import ClipWriter, open_clip
from impasto.config import Plan
from impasto.distributed import ClusterError, Driver, connection
from impasto.jobs import JobStore
from impasto.jobs.batch import QUEUE_FOLDER as QUEUE
from impasto.weights import cache_folder, load

pytestmark = pytest.mark.xdist_group("cluster")

SMALL = ["--size", "64", "--iterations", "3", "--precision", "float32"]
LONG = ["--size", "64", "--precision", "float32", *SLOW_STEPS]
"""Options of a batch that is stopped."""


@pytest.fixture(scope="module")
def expected(
    tmp_path_factory: pytest.TempPathFactory, photo: Path, painting: Path, slow_steps: dict[str, str]
) -> dict[str, bytes]:
    """Run that batch on this machine without a stop, and return its pictures."""
    folder = tmp_path_factory.mktemp("expected")
    (folder / "photos").mkdir()
    shutil.copy(photo, folder / "photos" / "cat.jpg")
    shutil.copy(painting, folder / "photos" / "dog.png")
    shutil.copy(painting, folder / "painting.png")
    with contextlib.chdir(folder):
        batch(*TWO, *LONG, environment=os.environ | slow_steps)
        return read_pictures()


@pytest.fixture(autouse=True)
def _enter_folder(desk: Path, monkeypatch: pytest.MonkeyPatch, slow_loss: None) -> None:
    (desk / "photos").mkdir()
    (desk / "photo.jpg").rename(desk / "photos" / "cat.jpg")
    shutil.copy(desk / "painting.png", desk / "photos" / "dog.png")
    monkeypatch.chdir(desk)


def batch(*arguments: str, environment: dict[str, str] | None = None, status: int = 0, out: str = "out") -> Any:
    """Run a batch in its own process and return its JSON report."""
    command = [sys.executable, "-m", "impasto", "batch", *arguments, "-o", out, "--json", "--quiet"]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert process.returncode == status, process.stderr
    return json.loads(process.stdout)


def read_pictures(folder: str = "out") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).glob("*.png"))}


def require_same(expected: dict[str, bytes], *options: str) -> None:
    """Check the pictures against those of an undisturbed call, or reproduce those with another plan."""
    assert read_pictures().keys() == expected.keys()
    for name, data in read_pictures().items():
        if data != expected[name]:
            assert read_recipe(Path("out", name)).plan != plan_of(expected[name])
            content = next(Path("photos").glob(f"{name.partition('_')[0]}.*"))
            filled_in = [option.format(content=content.stem) for option in options]
            command = [
                "reproduce",
                f"out/{name}",
                "--content",
                str(content),
                *filled_in,
                "-o",
                f"again_{name}",
                "--quiet",
            ]
            assert main(command) == 0
            assert Path(f"again_{name}").read_bytes() == data


def plan_of(picture: bytes) -> Plan:
    Path("expected.png").write_bytes(picture)
    return read_recipe(Path("expected.png")).plan


def start_batch(arguments: list[str], nodes: Nodes, stderr: int | None = None) -> subprocess.Popen[str]:
    """Start a batch with slow steps, and wait until both of its jobs have a checkpoint."""
    set_slow(True)
    command = [sys.executable, "-m", "impasto", "batch", *arguments, "-o", "out", "--quiet", "--on", nodes.address]
    process = subprocess.Popen(command, env=nodes.environment, text=True, stderr=stderr)

    def both_have_a_checkpoint() -> bool:
        assert process.poll() is None, "the batch ended too early"
        jobs = JobStore(Path("out", QUEUE)).jobs() if Path("out", QUEUE).is_dir() else []
        return len(jobs) == 2 and all(job.checkpoint for job in jobs)

    wait_until(both_have_a_checkpoint)
    return process


TWO = ["photos", "--styles", "painting.png"]


@pytest.mark.weights
def test_cluster_matches_local_batch_and_isolates_failures(nodes: Nodes) -> None:
    Path("photos/bad.png").write_bytes(Path("photos/dog.png").read_bytes()[:200])
    shutil.copy("photos/cat.jpg", "photos/same.jpg")
    Path("masks").mkdir()
    for photo in ("cat.jpg", "dog.png"):
        with Image.open(Path("photos", photo)) as opened:
            opened.convert("L").save(Path("masks", f"{Path(photo).stem}.png"))
    shutil.copy("masks/cat.png", "masks/same.png")
    load("vgg19")  # into the cache, if it is missing
    shutil.copy(cache_folder() / "vgg19.safetensors", "own.safetensors")
    options = ["--protect", "masks/{content}.png", "--weights", "own.safetensors"]
    arguments = [*TWO, *SMALL, *options]
    local = batch(*arguments, out="here", status=1)
    remote = batch(*arguments, "--on", nodes.address, environment=nodes.environment, status=1)
    assert (remote["done"], remote["skipped"], len(remote["failed"])) == (3, 0, 1) == (local["done"], 0, 1)
    assert remote["failed"][0]["error"] == local["failed"][0]["error"]
    require_same(read_pictures("here"), *options)
    assert len(JobStore(Path("out", QUEUE)).jobs()) == 2  # the same photo under two names is one job
    recipe = read_recipe(Path("out/dog_painting.png"))
    assert (recipe.weights_name, recipe.inputs["protect"].name) == ("own.safetensors", "dog.png")
    again = batch(*arguments, "--on", nodes.address, environment=nodes.environment, status=1)
    assert (again["done"], again["skipped"]) == (0, 3)


@pytest.mark.weights
def test_shots_of_a_clip_are_painted_on_the_cluster(nodes: Nodes) -> None:
    scenes = textured_scene(64, 140), np.ascontiguousarray(255 - textured_scene(64, 140)[::-1])
    with ClipWriter(Path("clip.mkv"), (48, 64), Fraction(10), lossless=True) as writer:
        for scene in scenes:
            for x in (0, 2):
                writer.write(scene[:48, x : x + 64])
    arguments = ["clip.mkv", "--styles", "painting.png", "--frame-iterations", "2", *SMALL]
    batch(*arguments, "--workers", "2", out="here")
    remote = batch(*arguments, "--on", nodes.address, environment=nodes.environment)
    assert (remote["done"], remote["failed"]) == (1, [])
    store = JobStore(Path("out", QUEUE))
    (job,) = store.jobs()
    assert (job.frames, job.plan) == ([4, 4], JobStore(Path("here", QUEUE)).jobs()[0].plan)
    assert not store.frame_folder(job.id).exists()
    clips = [list(open_clip(Path(folder, "clip_painting.mp4")).frames()) for folder in ("here", "out")]
    assert all(torch.equal(*frames) for frames in zip(*clips, strict=True))


COUNT_MEASUREMENTS = """
import sys, time
from pathlib import Path
import ray
from builders.slow_steps import set_slow
from impasto.distributed.connection import connect
from impasto.jobs import JobStore
from impasto.jobs.executors.ray import StartWorkers
from impasto.jobs.executors.ray_scheduler import JobScheduler
store = JobStore(Path("queue"))
with connect(sys.argv[1]) as cluster:
    assert (cluster.nodes, cluster.cpus) == (2, 2), cluster
    scheduler = JobScheduler(store, StartWorkers(store.folder, 2, 1, 0, ("vgg19",), 30.0))

    def is_done():
        jobs = store.jobs()
        if all(job.state == "running" for job in jobs):
            set_slow(False)  # else one worker might paint both before the other one has started
        return all(job.has_ended for job in jobs)

    scheduler.run(is_done)
    print(*ray.get(scheduler.cache.counts.remote()))
"""


@pytest.mark.weights
def test_workers_share_style_measurements(nodes: Nodes) -> None:
    for photo in sorted(Path("photos").iterdir()):
        assert main(["jobs", "add", str(photo), "painting.png", *LONG, "--data-dir", "queue"]) == 0
    set_slow(True)
    command = [sys.executable, "-c", COUNT_MEASUREMENTS, nodes.address]
    process = subprocess.run(command, env=nodes.environment, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    lookups, measured = map(int, process.stdout.split())
    # Both workers look up the style at each scale; only the first measures it.
    assert lookups == 2 * measured > 0
    assert [(job.state, job.attempt) for job in JobStore(Path("queue")).jobs()] == [("done", 1), ("done", 1)]


@pytest.mark.weights
def test_rerun_after_killed_call_gives_the_same_bytes(nodes: Nodes, expected: dict[str, bytes]) -> None:
    process = start_batch([*TWO, *LONG], nodes)
    process.kill()
    process.wait()
    set_slow(False)
    jobs = JobStore(Path("out", QUEUE)).jobs()
    assert all(job.state in ("queued", "running") and job.progress < 1 for job in jobs), "the batch ended too early"
    assert batch(*TWO, *LONG, "--on", nodes.address, environment=nodes.environment)["done"] == 2
    require_same(expected)
    assert all(job.attempt == 2 for job in JobStore(Path("out", QUEUE)).jobs())


@pytest.mark.weights
def test_killed_driver_process_is_a_one_line_error(nodes: Nodes, expected: dict[str, bytes]) -> None:
    process = start_batch([*TWO, *LONG], nodes, stderr=subprocess.PIPE)
    workers = {str(job.worker) for job in JobStore(Path("out", QUEUE)).jobs()}
    (driver,) = {int(worker.rpartition(":")[2].partition("/")[0]) for worker in workers}
    assert psutil.Process(driver).ppid() == process.pid
    os.kill(driver, signal.SIGKILL)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "is lost" in stderr
    assert len(stderr.strip().splitlines()) == 1
    assert [(job.state, job.crashes) for job in JobStore(Path("out", QUEUE)).jobs()] == [("queued", 0)] * 2
    set_slow(False)
    assert batch(*TWO, *LONG, "--on", nodes.address, environment=nodes.environment)["done"] == 2
    require_same(expected)


@pytest.mark.weights
def test_ctrl_c_requeues_jobs_and_keeps_cancellations(nodes: Nodes, expected: dict[str, bytes]) -> None:
    process = start_batch([*TWO, *LONG], nodes)
    store = JobStore(Path("out", QUEUE))
    store.cancel(store.jobs()[1].id)
    wait_until(lambda: store.jobs()[1].state == "cancelled")
    assert [job.state for job in store.jobs()] == ["running", "cancelled"]
    process.send_signal(signal.SIGINT)
    assert process.wait(300) == 130
    assert [job.state for job in store.jobs()] == ["queued", "cancelled"]
    set_slow(False)
    report = batch(*TWO, *LONG, "--retry", "--on", nodes.address, environment=nodes.environment)
    assert report["done"] == 2
    require_same(expected)


@pytest.mark.weights
def test_client_connection_prints_only_our_output(nodes: Nodes) -> None:
    command = [sys.executable, "-m", "impasto", "batch", "photos/cat.jpg", "--styles", "painting.png", *SMALL]
    command += ["-o", "out", "--json", "--on", nodes.from_elsewhere]
    process = subprocess.run(command, env=nodes.environment, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout)["outputs"] == ["out/cat_painting.png"]
    assert [line for line in process.stderr.splitlines() if " done  " not in line] == []


@pytest.mark.parametrize(("failures", "entered"), [(1, True), (2, True), (3, False)])
@pytest.mark.parametrize(
    "message",
    [
        "Starting Ray client server failed. See ray_client_server_23000.err for detailed logs.",
        "Traceback (most recent call last):\npsutil.ZombieProcess: PID still exists but it's a zombie (pid=14465)",
    ],
)
def test_retries_when_the_client_server_fails_to_start(message: str, failures: int, entered: bool) -> None:
    calls: list[str] = []

    def init(address: str) -> None:
        calls.append(address)
        if len(calls) <= failures:
            raise RuntimeError(message)

    with contextlib.nullcontext() if entered else pytest.raises(ClusterError, match="cannot be used"):
        connection._initialize(init, lambda: None, {"address": "ray://there:1"})
    assert len(calls) == min(failures + 1, 3)


@pytest.mark.weights
@pytest.mark.cluster
def test_losing_a_node_loses_no_picture(expected: dict[str, bytes], slow_steps: dict[str, str]) -> None:
    with two_nodes(slow_steps) as nodes:
        process = start_batch([*TWO, *LONG], nodes)
        nodes.kill_second()
        set_slow(False)
        assert process.wait(300) == 0
    require_same(expected)
    assert sorted(job.attempt for job in JobStore(Path("out", QUEUE)).jobs()) == [1, 2]


@pytest.mark.weights
@pytest.mark.cluster
def test_losing_the_head_is_one_line_and_the_next_call_resumes(
    expected: dict[str, bytes], slow_steps: dict[str, str]
) -> None:
    with two_nodes(slow_steps) as nodes:
        process = start_batch([*TWO, *LONG], nodes, stderr=subprocess.PIPE)
        nodes.kill_head()
        _, stderr = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "is lost" in stderr
    assert stderr.strip().endswith("with or without --on, to continue from them.")
    assert len(stderr.strip().splitlines()) == 1
    jobs = JobStore(Path("out", QUEUE)).jobs()
    # One job may have been done before.
    assert all(job.state == "done" or (job.state == "queued" and job.checkpoint) for job in jobs)
    set_slow(False)
    report = batch(*TWO, *LONG)
    assert report["done"] + report["skipped"] == 2
    require_same(expected)
    assert all(job.state == "done" for job in JobStore(Path("out", QUEUE)).jobs())


SILENT = """
import time
from impasto.distributed import Cluster
from impasto.distributed.driver import Channel, Heartbeat
import sys
channel = Channel(sys.stdin.buffer, sys.stdout.buffer)
channel.send(Cluster(1, 0, 1e9, 1, 1))
for silence_s in (1.0, 1.0, 60.0):
    channel.send(Heartbeat())
    time.sleep(silence_s)
"""


@pytest.fixture
def address() -> Iterator[str]:
    """Return an address where something listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("timeout_s", [math.inf, 0.0])
def test_tolerates_a_head_outage_but_not_a_lost_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, timeout_s: float
) -> None:
    (tmp_path / "silent.py").write_text(SILENT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("impasto.distributed.driver.MAX_SILENCE_S", 4.0)
    with Driver("silent", address) as driver:
        assert driver.receive(2.5) is None  # heartbeats come, late
        began_s = time.monotonic()
        with pytest.raises(ClusterError, match=rf"^The Ray cluster at {address} is lost .*\.$"):
            wait_until(lambda: driver.receive(timeout_s), 30)
        assert time.monotonic() - began_s < 30
        assert not psutil.pid_exists(driver.pid)


def test_says_if_a_cluster_accepts_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    (tmp_path / "mute.py").write_text("import time\ntime.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("impasto.distributed.driver.CONNECT_TIMEOUT_S", 1.0)
    with pytest.raises(ClusterError, match=f"^{address} answers, but accepts no connection"), Driver("mute", address):
        pass


FAILING = """
import contextlib
from impasto.distributed import Cluster, driver
driver.connect = lambda address: contextlib.nullcontext(Cluster(1, 0, 1e9, 1, 1))
def fail(channel, cluster):
    raise {error}
driver.serve(fail)
"""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("OSError('Broken pipe')", "The Ray cluster at {address} is lost (Broken pipe)."),  # as Ray raises it
        ("OSError(28, 'No space left on device')", "Ray failed: [Errno 28] No space left on device"),
        ("RuntimeError('Two\\nlines')", "Ray failed: Two lines"),
    ],
)
def test_failure_of_the_service_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, error: str, message: str
) -> None:
    (tmp_path / "failing.py").write_text(FAILING.format(error=error))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with Driver("failing", address) as driver, pytest.raises(ClusterError) as raised:
        driver.receive(60)
    assert str(raised.value) == message.format(address=address)


OCCUPY_CLUSTER = """
import sys
from impasto.distributed.connection import connect
with connect(sys.argv[1]):
    import ray
    class Other:
        def is_running(self):
            return True
    others = [ray.remote(Other).options(num_cpus=1).remote() for _ in range(2)]
    assert all(ray.get([other.is_running.remote() for other in others]))
    print("occupied", flush=True)
    sys.stdin.read()
"""

WARN_EARLY = """
import sys
from impasto.cli import main
from impasto.jobs import batch
batch.NO_WORKER_WARNING_S = 0.5
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.weights
def test_warns_and_waits_for_a_full_cluster(nodes: Nodes) -> None:
    occupy = [sys.executable, "-c", OCCUPY_CLUSTER, nodes.address]
    batch_command = [sys.executable, "-c", WARN_EARLY, "batch", *TWO, *SMALL, "-o", "out", "--on", nodes.address]
    pipes: dict[str, Any] = {"env": nodes.environment, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with Program(occupy, text=True, **pipes) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "occupied\n"
        with Program(batch_command, text=True, stderr=subprocess.PIPE, **pipes) as process:
            assert process.stderr is not None
            assert any("no worker has started yet" in line for line in process.stderr)
            assert other.stdin is not None
            other.stdin.close()
            process.communicate(timeout=300)
            assert process.returncode == 0
    assert len(read_pictures()) == 2


CHECK_OWN_RAY = """
import psutil
from impasto.distributed import Driver
from impasto.distributed.tile_backend import SERVICE
with Driver(SERVICE, "ray") as driver:
    assert driver.cluster.nodes == 1
    raylets = [child for child in psutil.Process().children(recursive=True) if "raylet" in " ".join(child.cmdline())]
    sockets = [socket for raylet in raylets for socket in raylet.net_connections("inet") if socket.laddr]
    assert sockets
    assert {socket.laddr.ip.removeprefix("::ffff:") for socket in sockets} == {"127.0.0.1"}, sockets
    environments = [raylet.environ() for raylet in raylets]
    assert all(environment["RAY_USAGE_STATS_ENABLED"] == "0" for environment in environments)
    assert all(environment["RAY_AUTH_MODE"] == "token" for environment in environments)
    assert all(environment["RAY_AUTH_TOKEN"] for environment in environments)
"""


@pytest.mark.cluster
def test_own_ray_listens_on_loopback_only(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-c", CHECK_OWN_RAY],
        env=os.environ | {"HOME": str(tmp_path), "RAY_ADDRESS": "10.0.0.1:6379"},  # must be ignored
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    assert not (tmp_path / ".ray").exists()


def test_missing_ray_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match="pip install"), connection.connect("ray"):
        pass
