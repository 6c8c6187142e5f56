"""Race against Impasto's first version: the time to the loss that it reaches in three minutes.

    python benchmarks/versus_first.py [--steps 75 75 75] [--ours 100] [--size 512] [--json]

The first version is a commit from before the engine, with plain autograd, whose objective is today's preset `classic`.
Both run as whole processes; the first version's objective (with zero padding) scores both. Needs the repository with
its history.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from racing import Run, arguments, paint, pictures, race, report, run, score_by

from impasto.config.presets import load_preset

FIRST = "7277298"
HERE = Path(__file__).parent.parent


def main() -> None:
    """Run the race and report."""
    options = arguments(__doc__, "the first version", 512, steps=75)
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.keep or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        first = Path(temporary) / "first"
        subprocess.run(["git", "clone", "--quiet", "--no-checkout", HERE, first], check=True)
        subprocess.run(["git", "-C", first, "checkout", "--quiet", FIRST], check=True)
        photo, painting = pictures(options.content, options.style, work)
        size = ["--size", str(options.size)]
        surroundings = os.environ | {"PYTHONPATH": str(first / "src"), "IMPASTO_CACHE": str(Path(temporary) / "cache")}

        def rival(name: str, *asked: str) -> Run:
            command = [sys.executable, "-m", "impasto", "stylize", str(photo), str(painting), "-o", "result.png"]
            return run([*command, "--quiet", *asked], work / name, "result.png", surroundings)

        classic = ["--preset", "classic", "--init", "noise", *size]
        score = score_by(photo, painting, load_preset("classic"), size=options.size, init="noise", padding="zero")
        # The weights are decoded once, as they are on our side.
        rival("warm", "--size", "64", "--iterations", "1")
        outcomes = [
            race(
                steps,
                lambda n, i=i: rival(f"first-{i}", *size, "--iterations", str(n)),  # type: ignore[misc]
                lambda n, i=i: paint(work / f"impasto-{i}", photo, painting, options.ours or n, *classic),  # type: ignore[misc]
                score,
                lambda _: [],
            )
            for i, steps in enumerate(options.steps)
        ]
    report("Impasto against its first version", outcomes, as_json=options.json)


if __name__ == "__main__":
    main()
