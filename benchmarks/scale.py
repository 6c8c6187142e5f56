"""Measure the gain and the overhead of several workers, Ray nodes and tiles.

python benchmarks/scale.py [--size 256] [--pictures 4] [--tile-size 768] [--repeats 3] [--json]

Pictures: batches with one process, with two, and on two Ray nodes with one CPU each, in alternation. Batches of two
lengths separate the startup time from the time per picture; jobs of one small step measure the overhead per job. The
driver of a cluster is a process, so its CPU time is known exactly.

Tiles: evaluations by one actor and by two, with the same tiles, compared with one process with as many threads as an
actor, and the bytes sent and received in a step.

The table at the end extrapolates to 16 and 256 workers over a network of 10 Gbit per second. It assumes equal machines.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from builders.cluster import Nodes, two_nodes
from studio import spread

from impasto import samples
from impasto.run import prepare_run

JOBS = 80
"""Enough that their driver time exceeds the variation of the startup time, half a second."""

NETWORK_BYTES_S = 10e9 / 8
WORKERS = (16, 256)
PAINT_S = 60.0
"""Approximate time of a default picture on a worker with two CPUs (RESULTS.md)."""


def folder_of(count: int, place: Path) -> None:
    """Create `count` different photos and one painting."""
    (place / "photos").mkdir()
    photo = Path(samples.photo_path("cat")).read_bytes()
    for number in range(count):
        # Bytes after the end of a JPEG are ignored by decoders but make it a different file.
        (place / "photos" / f"{number:03d}.jpg").write_bytes(photo + bytes([number]))
    Image.fromarray(samples.paint("swirl", size_px=256)).save(place / "painting.png")


def batch(count: int, words: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return wall-clock seconds and CPU seconds of a batch."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        folder_of(count, place)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        command = "-m impasto batch photos --styles painting.png -o out --quiet"
        subprocess.run([sys.executable, *command.split(), *words], cwd=place, env=environment, check=True)
        seconds = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert len(list((place / "out").glob("*.png"))) == count
        return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def hands(nodes: Nodes) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Return command line arguments and environment for each configuration."""
    here = dict(os.environ)
    return {
        "one process": (["--workers", "1"], here),
        "two processes": (["--workers", "2"], here),
        "two Ray nodes": (["--on", nodes.address], nodes.environment),
    }


def pictures(nodes: Nodes, size: int, count: int, repeats: int) -> dict[str, Any]:
    """Measure seconds per picture and overhead per job for each configuration."""
    found: dict[str, dict[str, list[float]]] = {name: {"picture": [], "job": [], "driver": []} for name in hands(nodes)}
    long, short = ["--size", str(size), "--iterations", "20"], ["--size", "64", "--iterations", "1", "--scales", "1"]
    for _ in range(repeats):
        for name, (words, environment) in hands(nodes).items():
            few, many = (batch(2 + more, [*long, *words], environment) for more in (0, count))
            found[name]["picture"].append((many[0] - few[0]) / count)
            few, many = (batch(4 + more, [*short, *words], environment) for more in (0, JOBS))
            found[name]["job"].append((many[0] - few[0]) / JOBS)
            found[name]["driver"].append((many[1] - few[1]) / JOBS)
    return {name: {what: spread(values) for what, values in by.items()} for name, by in found.items()}


def tiles(nodes: Nodes, size: int, repeats: int) -> dict[str, Any]:
    """Measure seconds per evaluation in one process, with one and two actors, and the bytes of a step."""
    os.environ.update(nodes.environment)
    from impasto.core.evaluate import Engine
    from impasto.core.method import objective_at
    from impasto.distributed import Driver
    from impasto.distributed.tile_backend import SERVICE, RayTiles, choose_tile_px
    from impasto.engine import build_engine
    from impasto.run.loading import load_inputs

    out = back = 0

    class CountingDriver(Driver):
        """A driver that counts the bytes of packed messages."""

        def send(self, message: Any) -> None:
            """Send a message."""
            nonlocal out
            out += len(message) if isinstance(message, bytes) else 0
            super().send(message)

        def receive(self, timeout_s: float = math.inf) -> Any:
            """Receive a message."""
            nonlocal back
            message = super().receive(timeout_s)
            back += len(message) if isinstance(message, bytes) else 0
            return message

    ready = prepare_run(
        samples.photo_path("cat"), samples.paint("swirl", size_px=512), size=size, enlarge=True, threads=1
    )
    plan = ready.plan.model_copy(
        update={"tile_px": choose_tile_px(ready.workload, ready.plan, 2, 64e9), "precision": "float32"}
    )
    scene = load_inputs(ready.inputs, ready.resolved, ready.options, ready.engine)
    image, full = scene.content.pixels, scene.scales[-1]

    step: dict[str, float] = {}
    found: dict[str, list[float]] = {}

    def measure(name: str, engine: Engine) -> None:
        """Time two evaluations after a first one; `step` is for the last."""
        nonlocal out, back
        evaluate = engine.evaluator(objective_at(scene, full, ready.resolved, engine), ready.resolved.alpha)
        evaluate(image)
        for _ in range(2):
            out = back = 0
            began, spent = time.perf_counter(), time.process_time()
            evaluate(image)
            found.setdefault(name, []).append(time.perf_counter() - began)
            step.update(sent=out, received=back, driver=time.process_time() - spent)

    for _ in range(repeats):
        measure("one process, whole", build_engine(plan.model_copy(update={"tile_px": None}), ready.encoder))
        measure("one process, tiles", build_engine(plan, ready.encoder))
        for count, name in ((1, "1 actor"), (2, "2 actors")):
            with CountingDriver(SERVICE, nodes.address) as driver:
                engine = build_engine(plan, ready.encoder, None, partial(RayTiles, driver, plan=plan, count=count))
                time.sleep(10)  # until all actors have started
                measure(name, engine)
    return {
        "size": f"{ready.workload.width}x{ready.workload.height}",
        "pixels": ready.workload.pixels,
        "tile_px": plan.tile_px,
        "seconds": {name: spread(values) for name, values in found.items()},
        **step,
    }


def sheet(pictures: dict[str, Any], tiles: dict[str, Any]) -> list[dict[str, Any]]:
    """Extrapolate to 16 and 256 workers."""
    driver = pictures["two Ray nodes"]["driver"]["median"]
    rows = []
    for count in WORKERS:
        # Workers get each job from the driver, which is one process.
        rate = min(count / PAINT_S, 1 / driver)
        # One picture: workers share its pixels, but not the network traffic and the work of the driver.
        moved = (tiles["sent"] + tiles["received"]) / tiles["pixels"]
        compute = tiles["seconds"]["one process, tiles"]["median"] / tiles["pixels"]
        large = 64e6
        measuring = large * compute / count
        wire = large * moved / NETWORK_BYTES_S
        adding = large * tiles["driver"] / tiles["pixels"]
        rows.append(
            {
                "workers": count,
                "pictures an hour": rate * 3600,
                "driver busy": count / PAINT_S * driver,
                "64 MP evaluation": max(measuring, wire) + adding,
                "of it measuring": measuring,
                "of it network": wire,
                "of it driver": adding,
                "one process": large * compute,
            }
        )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--tile-size", type=int, default=768)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with two_nodes() as nodes:
        by_hands = pictures(nodes, given.size, given.pictures, given.repeats)
        by_tiles = tiles(nodes, given.tile_size, given.repeats)
    rows = sheet(by_hands, by_tiles)
    if given.json:
        print(json.dumps({"pictures": by_hands, "tiles": by_tiles, "sheet": rows}))
        return
    for name, by in by_hands.items():
        print(
            f"{name:22} {by['picture']['median']:6.2f} s a picture ({by['picture']['min']:.2f} to "
            f"{by['picture']['max']:.2f})  {by['job']['median']:.3f} s a job beside its steps"
        )
    print(f"the driver's own time for a job on Ray: {by_hands['two Ray nodes']['driver']['median']:.3f} s")
    for name, times in by_tiles["seconds"].items():
        print(f"{name:22} {times['median']:6.2f} s an evaluation ({times['min']:.2f} to {times['max']:.2f})")
    print(
        f"{by_tiles['size']} px in tiles of {by_tiles['tile_px']}: {by_tiles['sent'] / 1e6:.1f} MB sent and "
        f"{by_tiles['received'] / 1e6:.1f} MB received at a step; the driver's own time {by_tiles['driver']:.2f} s"
    )
    for row in rows:
        print("  ".join(f"{name} {value:.3g}" for name, value in row.items()))


if __name__ == "__main__":
    main()
