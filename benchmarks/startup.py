"""Measure the waiting time for `--help`, the import, and the first preview of a default run.

python benchmarks/startup.py [--repeats 5] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

FIRST_PREVIEW = """
import impasto
from impasto import samples
next(impasto.stylize_steps(samples.photo_path("cat"), samples.paint("swirl", size_px=512)))
"""
COMMANDS = {
    "--help": [sys.executable, "-m", "impasto", "--help"],
    "import impasto": [sys.executable, "-c", "import impasto"],
    "import impasto, stylize found": [sys.executable, "-c", "import impasto; impasto.stylize"],
    "first preview of a 512 px run": [sys.executable, "-c", FIRST_PREVIEW],
}


def main() -> None:
    """Measure and report: median, minimum, maximum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    options = parser.parse_args()
    report = {}
    for name, command in COMMANDS.items():
        seconds = []
        for _ in range(options.repeats):
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds.append(time.perf_counter() - began)
        report[name] = {"median": statistics.median(seconds), "min": min(seconds), "max": max(seconds)}
        if not options.json:
            one = report[name]
            print(f"{name:32}{one['median']:6.2f} s   ({one['min']:.2f} to {one['max']:.2f})")
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
