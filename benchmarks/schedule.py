"""Measure the total loss of a run with another start, schedule or optimizer.

    python benchmarks/schedule.py [--size 384] [--content PHOTO --style PAINTING] [--seeds 3] [--json]

Each row changes one option of the default.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from racing import pictures

import impasto
from impasto.core import pyramid
from impasto.process import keep_freed_memory

ROWS: dict[str, dict[str, Any]] = {
    "the default": {},
    "one scale": {"scales": 1},
    "no detail transfer": {"detail_transfer": 0.0},
    "three times the steps at middle scales": {"between": 60},
    "half the steps at the coarsest scale": {"coarsest": 30},
    "twice the full-size steps": {"iterations": 90},
    "history 5": {"lbfgs_history": 5},
    "history 100": {"lbfgs_history": 100},
    "pixels instead of Fourier coefficients": {"parametrization": "pixels"},
    "clamped at the end only": {"clamp": False},
    "white noise, 0.2": {"init_noise": "white", "noise_std": 0.2},
    "content start": {"init": "content"},
    "Adam": {"optimizer": "adam"},
}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--content", type=Path, help="a photo; without one, those that ship are used")
    parser.add_argument("--style", type=Path, help="a painting")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    options = parser.parse_args()
    keep_freed_memory()
    usual = pyramid.COARSEST_ITERATIONS, pyramid.BETWEEN_ITERATIONS
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        photo, painting = pictures(options.content, options.style, Path(folder))
        for name, changed in ROWS.items():
            changes = dict(changed)
            pyramid.COARSEST_ITERATIONS = changes.pop("coarsest", usual[0])
            pyramid.BETWEEN_ITERATIONS = changes.pop("between", usual[1])
            runs = [
                impasto.stylize(photo, painting, size=options.size, seed=seed, **changes)
                for seed in range(options.seeds)
            ]
            totals = [run.losses["total"] for run in runs]
            report[name] = {
                "total": statistics.median(totals),
                "spread": max(totals) - min(totals),
                "seconds": statistics.median(run.seconds for run in runs),
                "evaluations": statistics.median(run.evaluations for run in runs),
            }
            if not options.json:
                one = report[name]
                print(
                    f"{name:42}{one['total']:8.4f} ±{one['spread'] / 2:.4f}{one['seconds']:7.0f} s"
                    f"{one['evaluations']:6.0f} evaluations",
                    flush=True,
                )
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
