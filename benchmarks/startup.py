"""Measure the waiting time for `--help`, the import, and the first step of a default run; or the parts of that time.

    python benchmarks/startup.py [--repeats 5] [--size 256] [--parts] [--json]

After the first, uncounted round the files of programs and weights are in memory, and the plan is kept.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyvips

from impasto import samples

FIRST_STEP = "import sys, impasto; next(impasto.stylize_steps(*sys.argv[1:3], size=int(sys.argv[3])))"

PARTS = """
import json, sys, time
began, parts = [time.perf_counter(), time.process_time()], {"start of Python": (0.0, time.process_time())}
def part(name):
    now = time.perf_counter(), time.process_time()
    parts[name] = now[0] - began[0], now[1] - began[1]
    began[:] = time.perf_counter(), time.process_time()
import gc; gc.set_threshold(10_000)
import torch; part("import torch")
import pydantic, pyvips; part("import pydantic, pyvips")
from impasto.run import prepare_run; part("import impasto")
run = prepare_run(*sys.argv[1:3], size=int(sys.argv[3])); run.workload; part("open pictures")
run.plan; part("plan")
run.engine; part("weights")
steps = run.steps(); part("load pictures")
next(steps); part("targets and first step")
next(steps); part("(second step)")
from impasto import samples; samples.paint("swirl", size_px=256); part("(drawing of a sample)")
print(json.dumps(parts))
"""


def main() -> None:
    """Measure and report: median, minimum, maximum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--parts", action="store_true", help="the parts of the way to the first step")
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        photo, painting = samples.photo_path("cat"), folder / "swirl.png"
        pyvips.Image.new_from_array(samples.paint("swirl", size_px=options.size)).write_to_file(str(painting))
        run = [str(photo), str(painting), str(options.size)]
        seconds = _parts(run, options.repeats) if options.parts else _waits(run, folder, options.repeats)
    report = {
        name: {"median": statistics.median(each), "min": min(each), "max": max(each)} for name, each in seconds.items()
    }
    if options.json:
        print(json.dumps(report))
        return
    for name, one in report.items():
        print(f"{name:45}{one['median']:6.2f} s   ({one['min']:.2f} to {one['max']:.2f})")


def _waits(run: list[str], folder: Path, repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each wait, from the start of a process."""

    def python(*arguments: str) -> Callable[[], float]:
        return partial(_time, [sys.executable, *arguments])

    *pictures, size = run
    cases: dict[str, Callable[[], float]] = {
        "--help": python("-m", "impasto", "--help"),
        "import impasto": python("-c", "import impasto"),
        "import impasto, stylize found": python("-c", "import impasto; impasto.stylize"),
        f"first step at {size} px, Python": python("-c", FIRST_STEP, *run),
        f"first step at {size} px, impasto stylize": partial(_time_to_snapshot, ["stylize", *pictures], size, folder),
        f"first step at {size} px, impasto demo": partial(_time_to_snapshot, ["demo"], size, folder),
    }
    return {name: [wait() for _ in range(repeats + 1)][1:] for name, wait in cases.items()}


def _time(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def _time_to_snapshot(words: list[str], size: str, folder: Path) -> float:
    """Return the seconds until a command has written the picture of its first step, then stop it."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        output = ["-o", "picture.png", "--size", size, "--save-every", "1", "--quiet"]
        began = time.perf_counter()
        with subprocess.Popen([sys.executable, "-m", "impasto", *words, *output], cwd=temporary) as process:
            while not any(Path(temporary).glob("picture*.png")):
                if process.poll() is not None:
                    raise SystemExit("impasto ended before its first step")
                time.sleep(0.005)
            seconds = time.perf_counter() - began
            process.kill()
    return seconds


def _parts(run: list[str], repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each part, on the clock and of the processors together."""
    rounds = []
    for _ in range(repeats + 1):
        done = subprocess.run([sys.executable, "-c", PARTS, *run], check=True, capture_output=True, text=True)
        rounds.append(json.loads(done.stdout))
    clocks = ("", ", processors")
    return {f"{name}{clock}": [r[name][i] for r in rounds[1:]] for name in rounds[0] for i, clock in enumerate(clocks)}


if __name__ == "__main__":
    main()
