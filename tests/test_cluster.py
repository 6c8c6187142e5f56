"""The same jobs on two Ray nodes of this machine: the same pictures, whoever dies meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from builders.cluster import Nodes, two_nodes
from PIL import Image

from impasto import read_recipe
from impasto.cli import main
from impasto.config import Plan
from impasto.distributed import ClusterError, connected, connection
from impasto.distributed.health import ClusterHealth
from impasto.jobs import JobStore
from impasto.jobs.batch import QUEUE_FOLDER as QUEUE
from impasto.weights import cache_folder, load

pytestmark = [pytest.mark.weights, pytest.mark.xdist_group("cluster")]

SMALL = ["--size", "64", "--iterations", "3", "--precision", "float32"]
LONG = ["--size", "64", "--iterations", "100", "--precision", "float32"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, photo: Path, painting: Path) -> dict[str, bytes]:
    """Run a long batch on this machine and return its queue."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "photos").mkdir()
    shutil.copy(photo, folder / "photos" / "cat.jpg")
    shutil.copy(painting, folder / "photos" / "dog.png")
    shutil.copy(painting, folder / "painting.png")
    with contextlib.chdir(folder):
        batch(*TWO, *LONG)
        return painted()


@pytest.fixture(autouse=True)
def _at_the_desk(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk / "photos").mkdir()
    (desk / "photo.jpg").rename(desk / "photos" / "cat.jpg")
    shutil.copy(desk / "painting.png", desk / "photos" / "dog.png")
    monkeypatch.chdir(desk)


def batch(*words: str, environment: dict[str, str] | None = None, status: int = 0, out: str = "out") -> Any:
    """Run a command in its own process and return its output."""
    command = [sys.executable, "-m", "impasto", "batch", *words, "-o", out, "--json", "--quiet"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def painted(folder: str = "out") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).glob("*.png"))}


def require_same(undisturbed: dict[str, bytes], *given: str) -> None:
    """Check that the pictures are those of an undisturbed call with the same plan."""
    assert painted().keys() == undisturbed.keys()
    for name, data in painted().items():
        if data != undisturbed[name]:
            assert read_recipe(Path("out", name)).plan != plan_of(undisturbed[name])
            content = next(Path("photos").glob(f"{name.partition('_')[0]}.*"))
            told = [word.format(content=content.stem) for word in given]
            words = ["reproduce", f"out/{name}", "--content", str(content), *told, "-o", f"again_{name}", "--quiet"]
            assert main(words) == 0
            assert Path(f"again_{name}").read_bytes() == data


def plan_of(picture: bytes) -> Plan:
    Path("undisturbed.png").write_bytes(picture)
    return read_recipe(Path("undisturbed.png")).plan


def begun(words: list[str], nodes: Nodes, stderr: int | None = None) -> subprocess.Popen[str]:
    """Start a call and wait until both of its pictures have a checkpoint."""
    command = [sys.executable, "-m", "impasto", "batch", *words, "-o", "out", "--quiet", "--on", nodes.address]
    process = subprocess.Popen(command, env=nodes.environment, text=True, stderr=stderr)
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert process.poll() is None, "it ended before it was disturbed"
        if Path("out", QUEUE).is_dir():
            jobs = JobStore(Path("out", QUEUE)).jobs()
            if len(jobs) == 2 and all(job.checkpoint for job in jobs):
                return process
        time.sleep(0.1)
    raise AssertionError("nothing was begun")


TWO = ["photos", "--styles", "painting.png"]


def test_cluster_matches_local_batch_and_isolates_failures(nodes: Nodes) -> None:
    Path("photos/bad.png").write_text("not a picture")
    shutil.copy("photos/cat.jpg", "photos/same.jpg")
    Path("masks").mkdir()
    for photo in ("cat.jpg", "dog.png"):
        with Image.open(Path("photos", photo)) as opened:
            opened.convert("L").save(Path("masks", f"{Path(photo).stem}.png"))
    shutil.copy("masks/cat.png", "masks/same.png")
    load("vgg19")  # into the cache, if it is not there
    shutil.copy(cache_folder() / "vgg19.safetensors", "own.safetensors")
    further = ["--protect", "masks/{content}.png", "--weights", "own.safetensors"]
    words = [*TWO, *SMALL, *further]
    here = batch(*words, out="here", status=1)
    there = batch(*words, "--on", nodes.address, environment=nodes.environment, status=1)
    assert (there["done"], there["skipped"], len(there["failed"])) == (3, 0, 1) == (here["done"], 0, 1)
    assert there["failed"][0]["error"] == here["failed"][0]["error"]
    require_same(painted("here"), *further)
    assert len(JobStore(Path("out", QUEUE)).jobs()) == 2  # the same photo under two names is one job
    recipe = read_recipe(Path("out/dog_painting.png"))
    assert (recipe.weights_name, recipe.inputs["protect"].name) == ("own.safetensors", "dog.png")
    again = batch(*words, "--on", nodes.address, environment=nodes.environment, status=1)
    assert (again["done"], again["skipped"]) == (0, 3)


ONCE = """
import sys, time
from pathlib import Path
import ray
from impasto.distributed.connection import connect
from impasto.jobs import JobStore
from impasto.jobs.executors.ray import StartWorkers
from impasto.jobs.executors.ray_scheduler import JobScheduler
store = JobStore(Path("queue"))
with connect(sys.argv[1]) as cluster:
    assert (cluster.nodes, cluster.cpus) == (2, 2), cluster
    scheduler = JobScheduler(store, StartWorkers(store.folder, 2, 1, 0, ("vgg19",), 30.0))
    scheduler.run(lambda: all(job.has_ended for job in store.jobs()))
    print(*ray.get(scheduler.cache.counts.remote()))
"""


def test_workers_share_style_measurements(nodes: Nodes) -> None:
    for photo in sorted(Path("photos").iterdir()):
        assert main(["jobs", "add", str(photo), "painting.png", *SMALL, "--data-dir", "queue"]) == 0
    command = [sys.executable, "-c", ONCE, nodes.address]
    done = subprocess.run(command, env=nodes.environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    asked, measured = map(int, done.stdout.split())
    # Both ask at each scale, and the first of them measures.
    assert asked == 2 * measured > 0
    assert [(job.state, job.attempt) for job in JobStore(Path("queue")).jobs()] == [("done", 1), ("done", 1)]


def test_rerun_after_killed_call_gives_the_same_bytes(nodes: Nodes, undisturbed: dict[str, bytes]) -> None:
    process = begun([*TWO, *LONG], nodes)
    process.kill()
    process.wait()
    jobs = JobStore(Path("out", QUEUE)).jobs()
    assert all(job.state in ("queued", "running") and job.progress < 1 for job in jobs), "it was done too early to tell"
    assert batch(*TWO, *LONG, "--on", nodes.address, environment=nodes.environment)["done"] == 2
    require_same(undisturbed)
    assert all(job.attempt == 2 for job in JobStore(Path("out", QUEUE)).jobs())


def test_killed_driver_process_is_a_one_line_error(nodes: Nodes, undisturbed: dict[str, bytes]) -> None:
    process = begun([*TWO, *LONG], nodes, stderr=subprocess.PIPE)
    workers = {str(job.worker) for job in JobStore(Path("out", QUEUE)).jobs()}
    (driver,) = {int(worker.rpartition(":")[2].partition("/")[0]) for worker in workers}
    assert psutil.Process(driver).ppid() == process.pid
    os.kill(driver, signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "is lost" in said
    assert len(said.strip().splitlines()) == 1
    assert [(job.state, job.crashes) for job in JobStore(Path("out", QUEUE)).jobs()] == [("queued", 0)] * 2
    assert batch(*TWO, *LONG, "--on", nodes.address, environment=nodes.environment)["done"] == 2
    require_same(undisturbed)


def test_ctrl_c_requeues_jobs_and_keeps_cancellations(nodes: Nodes, undisturbed: dict[str, bytes]) -> None:
    process = begun([*TWO, *LONG], nodes)
    store = JobStore(Path("out", QUEUE))
    store.cancel(store.jobs()[1].id)
    until = time.monotonic() + 60
    while store.jobs()[1].state != "cancelled" and time.monotonic() < until:
        time.sleep(0.1)
    assert [job.state for job in store.jobs()] == ["running", "cancelled"]
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert [job.state for job in store.jobs()] == ["queued", "cancelled"]
    told = batch(*TWO, *LONG, "--retry", "--on", nodes.address, environment=nodes.environment)
    assert told["done"] == 2
    require_same(undisturbed)


def test_client_connection_prints_only_our_output(nodes: Nodes) -> None:
    command = [sys.executable, "-m", "impasto", "batch", "photos/cat.jpg", "--styles", "painting.png", *SMALL]
    command += ["-o", "out", "--json", "--on", nodes.from_elsewhere]
    done = subprocess.run(command, env=nodes.environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outputs"] == ["out/cat_painting.png"]
    assert [line for line in done.stderr.splitlines() if " done  " not in line] == []


@pytest.mark.parametrize(("failures", "entered"), [(1, True), (2, True), (3, False)])
def test_retries_when_the_client_server_fails_to_start(failures: int, entered: bool) -> None:
    calls: list[str] = []

    def init(address: str) -> None:
        calls.append(address)
        if len(calls) <= failures:
            raise RuntimeError("Starting Ray client server failed. See ray_client_server_23000.err for detailed logs.")

    with contextlib.nullcontext() if entered else pytest.raises(ClusterError, match="cannot be used"):
        connection._initialize(init, lambda: None, {"address": "ray://there:1"})
    assert len(calls) == min(failures + 1, 3)


def test_losing_a_node_loses_no_picture(undisturbed: dict[str, bytes]) -> None:
    with two_nodes() as nodes:
        process = begun([*TWO, *LONG], nodes)
        nodes.kill_second()
        assert process.wait(240) == 0
    require_same(undisturbed)
    assert sorted(job.attempt for job in JobStore(Path("out", QUEUE)).jobs()) == [1, 2]


def test_losing_the_head_is_one_line_and_the_next_call_resumes(undisturbed: dict[str, bytes]) -> None:
    with two_nodes() as nodes:
        process = begun([*TWO, *LONG], nodes, stderr=subprocess.PIPE)
        nodes.kill_head()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "is lost" in said
    assert said.strip().endswith("with or without --on, to continue from them.")
    assert len(said.strip().splitlines()) == 1
    jobs = JobStore(Path("out", QUEUE)).jobs()
    # The other machine may finish its job before the loss is noticed.
    assert all(job.state == "done" or (job.state == "queued" and job.checkpoint) for job in jobs)
    again = batch(*TWO, *LONG)
    assert again["done"] + again["skipped"] == 2
    require_same(undisturbed)


def test_tolerates_a_head_outage_but_not_a_lost_local_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def listening(kind: socket.AddressFamily, address: Any) -> socket.socket:
        listener = socket.socket(kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
        return listener

    head = listening(socket.AF_INET, ("127.0.0.1", 0))
    port = head.getsockname()[1]
    node = listening(socket.AF_UNIX, str(tmp_path / "node"))
    health = ClusterHealth(f"127.0.0.1:{port}", str(tmp_path / "node"))
    health.check()
    monkeypatch.setattr("impasto.distributed.health.HEAD_TIMEOUT_S", 0.0)  # at the second look it is over
    told, own = head.accept()[0], node.accept()[0]
    told.close()  # hung up on whoever says nothing: there it is, when it is asked again
    health.check()
    health.check()
    head.close()
    health.check()
    head = listening(socket.AF_INET, ("127.0.0.1", port))  # begun again
    health.check()
    head.close()
    health.check()
    with pytest.raises(ClusterError, match=f"head of the cluster, 127.0.0.1:{port}, does not answer"):
        health.check()
    own.close()
    node.close()
    with pytest.raises(ClusterError, match="node on this machine has ended"):
        health.check()
    health.close()
    health.check()  # nobody asks any more


TAKEN = """
import sys
from impasto.distributed import connected
with connected(sys.argv[1]):
    import ray
    class Other:
        def there(self):
            return True
    others = [ray.remote(Other).options(num_cpus=1).remote() for _ in range(2)]
    assert all(ray.get([other.there.remote() for other in others]))
    print("taken", flush=True)
    sys.stdin.read()
"""

IMPATIENT = """
import sys
from impasto.cli import main
from impasto.jobs import batch
batch.NO_WORKER_WARNING_S = 0.5
sys.exit(main(sys.argv[1:]))
"""


def test_warns_and_waits_for_a_full_cluster(nodes: Nodes) -> None:
    taking = [sys.executable, "-c", TAKEN, nodes.address]
    waiting = [sys.executable, "-c", IMPATIENT, "batch", *TWO, *SMALL, "-o", "out", "--on", nodes.address]
    pipes: dict[str, Any] = {"env": nodes.environment, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(taking, text=True, **pipes) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "taken\n"
        with subprocess.Popen(waiting, text=True, stderr=subprocess.PIPE, **pipes) as process:
            assert process.stderr is not None
            assert any("no worker has started yet" in line for line in process.stderr)
            assert other.stdin is not None
            other.stdin.close()
            process.communicate(timeout=120)
            assert process.returncode == 0
    assert len(painted()) == 2


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1:1", "does not answer"),
        ("ray://127.0.0.1:1", "does not answer"),
        ("mars", "is not an address"),
    ],
)
def test_unreachable_address_is_a_one_line_error(address: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["batch", *TWO, *SMALL, "-o", "out", "--on", address]) == 2
    said = capsys.readouterr().err
    assert why in said
    assert "Traceback" not in said


OWN = """
import psutil
from impasto.distributed import connected
with connected("ray") as cluster:
    assert cluster.nodes == 1
    found = [one for one in psutil.Process().children(recursive=True) if "raylet" in " ".join(one.cmdline())]
    places = [place for one in found for place in one.net_connections("inet") if place.laddr]
    assert places
    assert {place.laddr.ip.removeprefix("::ffff:") for place in places} == {"127.0.0.1"}, places
    assert all(one.environ()["RAY_USAGE_STATS_ENABLED"] == "0" for one in found)
    assert all(one.environ()["RAY_AUTH_MODE"] == "token" and one.environ()["RAY_AUTH_TOKEN"] for one in found)
"""


def test_own_ray_listens_on_loopback_only(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OWN],
        env=os.environ | {"HOME": str(tmp_path), "RAY_ADDRESS": "10.0.0.1:6379"},  # which it is not to mind
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / ".ray").exists()


def test_missing_ray_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match="pip install"), connected("ray"):
        pass
