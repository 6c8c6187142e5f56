"""Race two commits of Impasto: how much sooner the new one reaches the loss at which a run of the old one ends.

    python benchmarks/versus_self.py --ref COMMIT [--new COMMIT] [--size 512] [--repeats 3] [--json FILE]

Both run alternately on the same pictures, each from its own worktree and with its own decoded weights, with the same
objective: Gram matrices of five layers, content at one, no change of colors, from noise. That is the preset `classic`,
or the defaults of commits before 79ffac7. One evaluator, that of the working tree in float32, scores the pictures of
all steps. It must agree within 1 % with the total that each commit reports for its own last picture.

Times count from the start of the process to a step, without the writing of the picture. Pictures of steps stay in
memory until the run is over. `time_ratio` is the median of the pairs of runs; above 1 the new commit is faster.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from racing import Run, describe_processors, environment, first_reaching, pictures, score_by

from impasto.config.presets import load_preset

HERE = Path(__file__).parent.parent

Figures = dict[str, float | None]

MAX_DIFFERENCE = 0.01
"""Largest relative difference between the totals that two commits measure for one picture."""

MORE_STEPS = (1, 1.1, 4 / 3, 2)
"""Steps of the new commit relative to those of the old, tried in turn until a run reaches the loss. 1: its default."""

PAINT = """
import contextlib, importlib, importlib.util, json, sys, time
began, folder, source = float(sys.argv[1]), sys.argv[2], sys.argv[3]
from impasto.cli import main
assert main.__code__.co_filename.startswith(source), main.__code__.co_filename
main(["--version"])  # prepares the process as every command does, before torch is loaded
package = "impasto.core" if importlib.util.find_spec("impasto.core") else "impasto"
method = importlib.import_module(f"{package}.method")
stylize_steps, rows, images, starts = method.stylize_steps, [], [], []

def record(*arguments, **options):
    starts.append(time.time() - began)
    with contextlib.closing(stylize_steps(*arguments, **options)) as steps:
        for progress in steps:
            rows.append((time.time() - began, progress.scale, progress.iteration))
            images.append(progress.image.detach().float().cpu().clone())
            yield progress

method.stylize_steps = record
status = main(sys.argv[4:])
if status:
    sys.exit(status)
import numpy
kept = []
for (seconds, scale, iteration), image in zip(rows, images):
    if scale == rows[-1][1]:
        numpy.save(f"{folder}/step-{iteration:05}.npy", image.clamp(0, 1).numpy())
        kept.append(seconds)
print(json.dumps({"start": starts[0], "seconds": kept, "steps": rows[-1][2]}))
"""

SHOW_TEXTBOOK = "from impasto.cli import main; raise SystemExit(main(['presets', 'show', 'textbook']))"
"""Fails before the defaults changed: then they were what `classic` is today, and `classic` was today's `textbook`."""


@dataclass(frozen=True)
class Side:
    """A commit in its worktree, the Python that runs it, and its options."""

    name: str
    commit: str
    source: Path
    python: Path
    cache: Path
    options: tuple[str, ...]


@dataclass(frozen=True)
class Painted:
    """A run: seconds to its first and to its last step, the total that it reports, and the pictures of its steps."""

    start: float
    steps: int
    total: float
    run: Run


def main() -> None:
    """Race and report."""
    options = _parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # removes the worktrees
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        work = Path(temporary)
        old, new = (
            stack.enter_context(_side(name, revision, work))
            for name, revision in (("old", options.ref), ("new", options.new))
        )
        photo, painting = pictures(options.content, options.style, work)
        given = [str(photo), str(painting), "--size"]
        for side in (old, new):  # decodes the weights, and keeps the plan if the commit can
            _paint(side, [*given, "64", "--iterations", "1"], work)
        score = score_by(photo, painting, load_preset("classic"), size=options.size, init="noise")
        pairs, factors = [], list(MORE_STEPS)
        for _ in range(options.repeats):
            with tempfile.TemporaryDirectory(dir=work) as folder:  # a run at 512 px leaves 100 MB of pictures
                pairs.append(_race(old, new, [*given, str(options.size)], factors, score, Path(folder)))
            print(json.dumps(pairs[-1]), file=sys.stderr)
    _report(options, old, new, pairs)


def _race(
    old: Side, new: Side, given: list[str], factors: list[float], score: Callable[[Path], float], folder: Path
) -> Figures:
    """Run the old commit, then the new one until a run reaches the loss. Drops the `factors` that are too few steps."""
    before = _paint(old, given, folder)
    loss, difference = score(before.run.pictures[-1][1]), _difference(old, before, score)
    while True:
        steps = [] if factors[0] == 1 else ["--iterations", str(round(before.steps * factors[0]))]
        after = _paint(new, [*given, *steps], folder)
        reached = first_reaching(after.run.pictures, loss, score)
        if reached is not None or len(factors) == 1:
            return _compare(before, after, loss, reached) | {
                "difference_of_totals": max(difference, _difference(new, after, score))
            }
        print(f"new: {after.steps} steps end at {after.total:.6g}, above {loss:.6g}: trying more", file=sys.stderr)
        factors.pop(0)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ref", required=True, help="the old commit")
    parser.add_argument("--new", default="HEAD", help="the new commit; changes that are not committed do not count")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--content", type=Path, help="a photo; without one, that of the samples")
    parser.add_argument("--style", type=Path, help="a painting; without one, the sample swirl")
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser.parse_args()


@contextlib.contextmanager
def _side(name: str, revision: str, work: Path) -> Iterator[Side]:
    """Check a commit out into a worktree that is removed at the end."""
    commit, place = _git("rev-parse", "--verify", f"{revision}^{{commit}}").strip(), work / name
    _git("worktree", "add", "--quiet", "--detach", str(place), commit)
    try:
        python = _python(place, commit)
        cache = work / f"{name}-cache"
        side = Side(name, commit, place / "src", python, cache, ())
        shown = subprocess.run([python, "-c", SHOW_TEXTBOOK], env=_surroundings(side), capture_output=True, check=False)
        classic = ("--preset", "classic", "--init", "noise") if shown.returncode == 0 else ()
        yield Side(name, commit, place / "src", python, cache, classic)
    finally:
        _git("worktree", "remove", "--force", str(place))


def _git(*words: str) -> str:
    return subprocess.run(["git", "-C", str(HERE), *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def _python(place: Path, commit: str) -> Path:
    """Return this Python if it has what a commit depends on, or that of an environment made for the commit."""
    wanted = tomllib.loads((place / "pyproject.toml").read_text())["project"]["dependencies"]

    def is_met(requirement: Requirement) -> bool:
        try:
            return requirement.specifier.contains(version(requirement.name), prereleases=True)
        except PackageNotFoundError:
            return False

    needed = [one for one in map(Requirement, wanted) if one.marker is None or one.marker.evaluate()]
    return Path(sys.executable) if all(map(is_met, needed)) else environment(f"impasto-{commit[:12]}", *wanted)


def _surroundings(side: Side) -> dict[str, str]:
    """Return the environment variables of a side: its code, and a cache of its own."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPATH": str(side.source), "IMPASTO_CACHE": str(side.cache)}


def _paint(side: Side, arguments: list[str], work: Path) -> Painted:
    """Run `impasto stylize` of a side, and record when each step of the full size was done."""
    folder = Path(tempfile.mkdtemp(dir=work))
    words = ["stylize", *arguments, *side.options, "-o", str(folder / "picture.png"), "--quiet", "--json"]
    began = time.time()
    done = subprocess.run(
        [side.python, "-c", PAINT, str(began), str(folder), str(side.source), *words],
        env=_surroundings(side),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{side.name} ({side.commit[:12]}) failed:\n{done.stdout}\n{done.stderr}")
    *_, result, recorded = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    steps = list(zip(recorded["seconds"], sorted(folder.glob("step-*.npy")), strict=True))
    run = Run(recorded["seconds"][-1], steps, done.stdout)
    return Painted(recorded["start"], recorded["steps"], result["losses"]["total"], run)


def _difference(side: Side, painted: Painted, score: Callable[[Path], float]) -> float:
    """Return how far the total that a commit reports is from the evaluator's. Exits if that is too far."""
    measured = score(painted.run.pictures[-1][1])
    difference = abs(painted.total / measured - 1)
    if difference > MAX_DIFFERENCE:
        raise SystemExit(
            f"{side.name} ({side.commit[:12]}) reports a total of {painted.total:.6g} for its picture, and the "
            f"evaluator {measured:.6g}: they do not measure the same."
        )
    return difference


def _compare(before: Painted, after: Painted, loss: float, reached: int | None) -> Figures:
    """Return the figures of a pair of runs."""
    seconds = None if reached is None else after.run.pictures[reached][0]
    return {
        "loss": loss,
        "old_seconds": before.run.seconds,
        "old_start_seconds": before.start,
        "old_steps": before.steps,
        "new_seconds": seconds,
        "new_start_seconds": after.start,
        "new_steps": None if reached is None else reached + 1,
        "new_planned_steps": after.steps,
        "new_final_loss": after.total,
        "time_ratio": None if seconds is None else before.run.seconds / seconds,
        "time_ratio_without_start": (
            None if seconds is None else (before.run.seconds - before.start) / (seconds - after.start)
        ),
    }


def _report(options: argparse.Namespace, old: Side, new: Side, pairs: list[Figures]) -> None:
    """Print the figures, and write them to a file if asked."""

    def spread(name: str) -> dict[str, float] | None:
        values = [value for pair in pairs if (value := pair[name]) is not None]
        if len(values) < len(pairs):  # a run that never reached the loss must not be left out
            return None
        return {"median": statistics.median(values), "min": min(values), "max": max(values)}

    names = ("old_seconds", "new_seconds", "old_start_seconds", "new_start_seconds", "time_ratio_without_start",
             "difference_of_totals")  # fmt: skip
    ratio = spread("time_ratio")
    report = {
        "machine": describe_processors(),
        "old": old.commit,
        "new": new.commit,
        "size": options.size,
        "time_ratio": ratio["median"] if ratio else None,
        "time_ratio_spread": ratio,
        **{name: spread(name) for name in names},
        "pairs": pairs,
    }
    text = json.dumps(report, indent=1)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
