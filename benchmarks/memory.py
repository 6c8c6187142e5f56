"""Measure peak resident memory under `--memory`, and the time per megapixel.

    python benchmarks/memory.py [--megapixels 1 4 16 64] [--memory 4GB] [--json]

Each size runs in a fresh process: one step of L-BFGS at one scale, from an enlarged photo to a TIFF file. It has two
evaluations, at the start and after the step; the seconds of an evaluation are their median.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import pyvips
from children import run_child

from impasto import samples
from impasto.config.types import parse_bytes

CHILD = """
import json, resource, statistics, sys, time
from impasto.run import prepare_run
from impasto.process import keep_freed_memory
from impasto.engine.tiled import TiledEngine
times, evaluate = [], TiledEngine._evaluate
def timed(*arguments, **options):
    began = time.perf_counter()
    evaluation = evaluate(*arguments, **options)
    times.append(time.perf_counter() - began)
    return evaluation
TiledEngine._evaluate = timed
content, style, size, memory, output = sys.argv[1:]
keep_freed_memory()
run = prepare_run(content, style, size=int(size), enlarge=True, memory=memory, iterations=1, scales=1)
began = time.perf_counter()
expected = run.estimate()
for progress in run.steps():
    pass
result = run.result()
result.save(output)
print(json.dumps({
    "seconds": time.perf_counter() - began,
    "evaluation_seconds": statistics.median(times),
    "evaluations": len(times),
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    "expected_peak": expected.memory_bytes,
    "expected_seconds": expected.seconds,
    "disk": expected.disk_bytes,
    "tile_px": run.plan.tile_px,
    "lbfgs_history": run.plan.lbfgs_history,
    "on_disk": run.plan.on_disk,
    "winograd": run.plan.winograd_channels,
    "pixels": result.image.shape[2] * result.image.shape[3],
}))
"""


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--memory", default="4GB")
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    options = parser.parse_args()
    budget = parse_bytes(options.memory)
    rows = []
    for megapixels in options.megapixels:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(one(megapixels, options.memory, Path(folder)))
        row = rows[-1]
        row["peak_over_memory"] = row["peak"] / budget
        row["evaluation_seconds_per_megapixel"] = row["evaluation_seconds"] / (row["pixels"] / 1e6)
        if not options.json:
            print(
                f"{row['pixels'] / 1e6:6.1f} MP  peak {row['peak'] / 1e9:.2f} GB "
                f"({row['peak_over_memory']:.2f} of what was asked, {row['expected_peak'] / 1e9:.2f} expected)  "
                f"{row['evaluation_seconds_per_megapixel']:.1f} s/MP an evaluation  "
                f"{row['seconds']:.0f} s in all ({row['expected_seconds']:.0f} expected)  "
                f"tiles {row['tile_px'] or 'none'}  disk {row['disk'] / 1e9:.1f} GB",
                flush=True,
            )
    if options.json:
        times = [row["evaluation_seconds_per_megapixel"] for row in rows]
        flat = max(times) / min(times)
        print(json.dumps({"memory": budget, "time_per_megapixel_spread": flat, "sizes": rows}))


def one(megapixels: float, memory: str, folder: Path) -> dict[str, float]:
    """Measure one size in a fresh process."""
    photo = pyvips.Image.new_from_file(str(samples.photo_path("cat")))
    side = round((megapixels * 1e6 * photo.width / photo.height) ** 0.5)
    content, style = folder / "content.tif", folder / "style.png"
    photo.resize(side / photo.width).write_to_file(str(content), compression="deflate")
    pyvips.Image.new_from_array(samples.paint("swirl", size_px=1024)).write_to_file(str(style))
    arguments = map(str, (content, style, side, memory, folder / "out.tif"))
    return run_child(CHILD, *arguments, label=f"{megapixels} MP")


if __name__ == "__main__":
    main()
