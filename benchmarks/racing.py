"""Shared parts of the races: isolated environments, prepared pictures, snapshots, a report.

Both programs run as whole processes, one after the other, and times count from process start. Impasto writes snapshots
during the run; the rival's own code scores them to find when Impasto reached a loss.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from impasto import Config, images, samples
from impasto.core.method import objective_at
from impasto.engine.plan_cache import describe_machine
from impasto.run import prepare_run
from impasto.run.loading import load_inputs

ENVIRONMENTS = Path(__file__).parent / ".environments"


@dataclass(frozen=True)
class Run:
    """A run of one program: wall-clock seconds, and its pictures with their times."""

    seconds: float
    pictures: list[tuple[float, Path]]
    output: str


@dataclass(frozen=True)
class Outcome:
    """A race: the rival's time and loss, and when Impasto reached that loss.

    The rival's own loss is the one that it prints, for pixels that are not yet clamped. It is lower than that of any
    picture that it writes.
    """

    steps: int
    rival_seconds: float
    rival_loss: float
    impasto_seconds: float | None
    impasto_loss_then: float | None
    impasto_final_seconds: float
    impasto_final_loss: float
    rival_own_loss: float | None
    rival_own_loss_at_impasto_final_time: float | None
    time_ratio: float | None
    time_ratio_to_own_loss: float | None


def torch_requirement() -> str:
    """Return the requirement for the installed torch version."""
    return f"torch=={version('torch').partition('+')[0]}"


def arguments(description: str | None, rival: str, size: int, *, steps: int = 1000) -> argparse.Namespace:
    """Parse the options of a race."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[steps], help=f"{rival}'s steps, one race each")
    parser.add_argument("--ours", type=int, default=0, help=f"Impasto's steps; 0: a fifth of {rival}'s")
    parser.add_argument("--size", type=int, default=size)
    parser.add_argument("--content", type=Path, help="a photo; without one, those that ship are used")
    parser.add_argument("--style", type=Path, help="a painting")
    parser.add_argument("--keep", type=Path, help="folder for the pictures of the race")
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    return parser.parse_args()


def environment(name: str, *requirements: str, without_dependencies: tuple[str, ...] = ()) -> Path:
    """Return the Python of an isolated environment with `requirements`, creating it once."""
    folder = ENVIRONMENTS / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (folder / "ready").exists():
        print(f"making an environment for {name}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *requirements], check=True)
        for requirement in without_dependencies:
            subprocess.run([*pip, "--no-deps", requirement], check=True)
        (folder / "ready").touch()
    return python


def pictures(content: Path | None, style: Path | None, folder: Path) -> tuple[Path, Path]:
    """Return the given photo and painting, or the samples."""
    if style is None:
        style = folder / "swirl.png"
        pyvips.Image.new_from_array(samples.paint("swirl", size_px=1024)).write_to_file(str(style))
    return content or samples.photo_path("cat"), style


def run(command: list[str], folder: Path, pattern: str, surroundings: dict[str, str] | None = None) -> Run:
    """Run a command in `folder` and collect the pictures that match `pattern`."""
    folder.mkdir(parents=True, exist_ok=True)
    print("+", shlex.join(command), file=sys.stderr)
    # The clock of files, for the pictures' times; a race is long enough for it.
    began = time.time()
    done = subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True)
    seconds = time.time() - began
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout}\n{done.stderr}")
    pictures = sorted((path.stat().st_mtime - began, path) for path in folder.glob(pattern))
    return Run(seconds, pictures, done.stdout)


def paint(folder: Path, content: Path, style: Path, steps: int, *options: str) -> Run:
    """Run Impasto's command line, with a snapshot every five steps."""
    command = [sys.executable, "-m", "impasto", "stylize", str(content), str(style), "-o", "result.png", "--quiet"]
    return run([*command, "--iterations", str(steps), "--save-every", "5", *options], folder, "result*.png")


def score_by(content: Path, style: Path, config: Config | None = None, **options: Any) -> Callable[[Path], float]:
    """Return a function that measures the total of a picture, an image or an array in a file, in float32."""
    ready = prepare_run(content, style, config, precision="float32", **options)
    inputs = load_inputs(ready.inputs, ready.resolved, ready.options, ready.engine)
    objective = objective_at(inputs, inputs.scales[-1], ready.resolved, ready.engine)

    def score(picture: Path) -> float:
        loaded = images.load(np.load(picture) if picture.suffix == ".npy" else picture)
        return ready.engine.measure(objective, loaded.pixels, ready.config.alpha).as_floats()["total"]

    return score


def describe_processors() -> str:
    """Return the kind and the number of this machine's processors."""
    return f"{describe_machine('cpu')['hardware']}, {os.cpu_count()} processors"


def first_reaching(pictures: list[tuple[float, Path]], loss: float, score: Callable[[Path], float]) -> int | None:
    """Find the first of `pictures` that reaches the loss, by bisection: losses fall over time."""
    low, high = 0, len(pictures)
    while low < high:
        middle = (low + high) // 2
        if score(pictures[middle][1]) <= loss:
            high = middle
        else:
            low = middle + 1
    return low if low < len(pictures) else None


def race(
    steps: int,
    rival: Callable[[int], Run],
    impasto: Callable[[int], Run],
    score: Callable[[Path], float],
    curve: Callable[[Run], list[tuple[float, float]]],
) -> Outcome:
    """Run one race. `curve` parses (seconds, loss) from the output of the rival."""
    theirs, ours = rival(steps), impasto(steps)
    scored: dict[Path, float] = {}

    def cached(picture: Path) -> float:
        if picture not in scored:
            scored[picture] = score(picture)
        return scored[picture]

    def ratio_to(loss: float) -> tuple[float, float, float] | None:
        """Return Impasto's seconds to a loss, its loss then, and how many times sooner that was."""
        reached = first_reaching(ours.pictures, loss, cached)
        if reached is None:
            return None
        seconds, picture = ours.pictures[reached]
        return seconds, cached(picture), theirs.seconds / seconds

    loss, printed = cached(theirs.pictures[-1][1]), curve(theirs)
    reached, then = ratio_to(loss), [value for seconds, value in printed if seconds <= ours.seconds]
    own = ratio_to(printed[-1][1]) if printed else None
    return Outcome(
        steps=steps,
        rival_seconds=theirs.seconds,
        rival_loss=loss,
        impasto_seconds=reached[0] if reached else None,
        impasto_loss_then=reached[1] if reached else None,
        impasto_final_seconds=ours.seconds,
        impasto_final_loss=cached(ours.pictures[-1][1]),
        rival_own_loss=printed[-1][1] if printed else None,
        rival_own_loss_at_impasto_final_time=then[-1] if then else None,
        time_ratio=reached[2] if reached else None,
        time_ratio_to_own_loss=own[2] if own else None,
    )


def report(title: str, outcomes: list[Outcome], *, as_json: bool) -> None:
    """Print every race and the median ratio."""
    ratios = [outcome.time_ratio for outcome in outcomes if outcome.time_ratio is not None]
    # A race that was not won within its steps has no ratio, and must not be left out of the median.
    median = statistics.median(ratios) if len(ratios) == len(outcomes) else None
    if as_json:
        print(
            json.dumps({"machine": describe_processors(), "time_ratio": median, "races": [asdict(o) for o in outcomes]})
        )
        return
    print(title)
    for o in outcomes:
        print(f"  {o.steps} steps of the rival: {o.rival_seconds:.0f} s, loss {o.rival_loss:.6g} as an 8-bit picture")
        if o.impasto_seconds is None:
            print("    Impasto did not reach that loss")
        else:
            print(
                f"    Impasto had {o.impasto_loss_then:.6g} after {o.impasto_seconds:.0f} s: {o.time_ratio:.1f} times"
            )
        then = o.rival_own_loss_at_impasto_final_time
        beside = "" if then is None else f", when the rival's own count stood at {then:.6g}"
        print(f"    Impasto ended at {o.impasto_final_loss:.6g} after {o.impasto_final_seconds:.0f} s{beside}")
        if o.rival_own_loss is not None:
            sooner = "not reached" if o.time_ratio_to_own_loss is None else f"{o.time_ratio_to_own_loss:.1f} times"
            print(f"    to the rival's own final count, {o.rival_own_loss:.6g} before clamping: {sooner}")
    if median is not None:
        print(f"  time_ratio {median:.2f} (median; {min(ratios):.2f} to {max(ratios):.2f})")
