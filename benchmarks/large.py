"""Paint one pair at several sizes: time, memory, losses, and a sheet of details at full resolution.

    python benchmarks/large.py photo.jpg painting.jpg --output results/ [--size 512 1024 2048 4096] [--memory 8GB]
        [--option preset classic] [--center 0.5 0.5] [--json]

Each size runs in a fresh process. `content` and `style` are the run's own losses, whose targets grow with the size.
`content_512` and `style_512` are scores of the picture reduced to 512 px: where they agree, α means the same. sheet.jpg
has each picture as a whole, and a detail of it around `--center` (shares of width and height), pixel by pixel.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from children import run_child
from torch import Tensor

import impasto
from impasto import images
from impasto.config.presets import load_preset
from impasto.core.image import thumbnail
from impasto.render.grid import Cell, draw_grid
from impasto.samples.sources import resolve_picture

DETAIL_PX = 360
SCORED_PX = 512

CHILD = """
import json, resource, sys, time
began = time.perf_counter()
from impasto.run import prepare_run
from impasto.process import keep_freed_memory
from impasto.samples.sources import resolve_picture
keep_freed_memory()
content, style, output, options = sys.argv[1:]
options = json.loads(options)
run = prepare_run(*(resolve_picture(source, options["size"]) for source in (content, style)), **options)
for progress in run.steps():
    pass
result = run.result()
result.save(output)
print(json.dumps({
    "seconds": time.perf_counter() - began,
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    "height": result.image.shape[2], "width": result.image.shape[3],
    "steps": result.iterations, "tile_px": run.plan.tile_px, "on_disk": run.plan.on_disk,
    "lbfgs_history": run.plan.lbfgs_history,
    **{name: result.losses[name] for name in ("total", "content", "style")},
}))
"""


def main() -> None:
    """Paint, measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("content")
    parser.add_argument("style")
    parser.add_argument("--output", type=Path, required=True, help="folder of the pictures and the sheet")
    parser.add_argument("--size", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--memory", help="limit of each run, such as 8GB")
    parser.add_argument("--option", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--center", type=float, nargs=2, default=(0.5, 0.5), metavar=("X", "Y"))
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = dict(given.option)
    options = load_preset(options.pop("preset", "painterly")).overrides() | options
    if given.memory:
        options["memory"] = given.memory
    rows = []
    for size in given.size:
        rows.append(paint(given.content, given.style, given.output / f"{size}.png", options | {"size": size}))
        if not given.json:
            print(describe(rows[-1]), flush=True)
    sheet = draw_sheet([given.output / f"{size}.png" for size in given.size], *given.center)
    images.save(given.output / "sheet.jpg", sheet, quality=90)
    if given.json:
        print(json.dumps({"content": given.content, "style": given.style, "sizes": rows}))


def paint(content: str, style: str, output: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Paint one size in a fresh process, and score the picture reduced to 512 px."""
    row = run_child(CHILD, content, style, str(output), json.dumps(options), label=f"{options['size']} px")
    reduced = thumbnail(images.load(output).pixels, SCORED_PX)
    photo, painting = (resolve_picture(source, SCORED_PX) for source in (content, style))
    score = impasto.score(photo, painting, reduced)
    return row | {"content_512": score.content, "style_512": score.style}


def describe(row: dict[str, Any]) -> str:
    """Return the figures of one size as a line."""
    return (
        f"{row['width']:5}x{row['height']:<5} {row['seconds']:6.0f} s  {row['peak'] / 1e9:4.1f} GB  "
        f"total {row['total']:.3f}  content {row['content']:.3f}  style {row['style']:.4f}  "
        f"reduced: content {row['content_512']:.3f}  style {row['style_512']:.4f}  "
        f"tiles {row['tile_px'] or 'none'}{', on disk' if row['on_disk'] else ''}, {row['steps']} steps"
    )


def draw_sheet(paths: list[Path], x: float, y: float) -> Tensor:
    """Draw each picture as a whole above a detail of it, pixel by pixel."""
    wholes, details, names = [], [], []
    for path in paths:
        pixels = images.load(path).pixels
        height, width = pixels.shape[2:]
        top = min(max(0, round(y * height) - DETAIL_PX // 2), max(0, height - DETAIL_PX))
        left = min(max(0, round(x * width) - DETAIL_PX // 2), max(0, width - DETAIL_PX))
        wholes.append(Cell(thumbnail(pixels, DETAIL_PX)))
        details.append(Cell(pixels[:, :, top : top + DETAIL_PX, left : left + DETAIL_PX]))
        names.append(f"{max(height, width)} px")
    return draw_grid([wholes, details], column_labels=names, row_labels=["whole", "detail"])


if __name__ == "__main__":
    main()
