"""Compare settings over several pairs, scored by networks that did not paint them.

    python benchmarks/defaults.py --pair photo.jpg painting.jpg --pair ... --sheet sheet.png
        [--setting "name" "--alpha 5 --style-loss gram" ...] [--size 256] [--json]

Prints the numbers of `impasto score`. The contact sheet has a row for each pair and a column for each setting: look at
it, too. `sample:NAME` is a sample picture.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from impasto import images
from impasto.cli import main as impasto
from impasto.metrics.score import load_score_inputs, load_score_networks, score_images
from impasto.samples.sources import resolve_picture

SHALLOW, DEEP = (
    ",".join(f"relu{block}_1:{weight}" for block, weight in enumerate(weights, start=1))
    for weights in ((4, 3, 2, 1, 1), (1, 1, 2, 3, 4))
)
SETTINGS = [
    ["the default", ""],
    ["alpha 2.5", "--alpha 2.5"],
    ["alpha 10", "--alpha 10"],
    ["content at relu3_2 too", "--content-layers relu3_2,relu4_2"],
    ["shallow style layers", f"--style-layers {SHALLOW}"],
    ["deep style layers", f"--style-layers {DEEP}"],
    ["total variation 5", "--tv-weight 5"],
    ["content as the start", "--init content"],
    ["one scale", "--scales 1"],
    ["covariance, alpha 2.5", "--style-loss covariance --alpha 2.5"],
    ["wasserstein, alpha 7", "--style-loss wasserstein --alpha 7"],
    ["zeros at the edges", "--padding zero"],
]
PAIRS = [["sample:cat", f"sample:{painting}"] for painting in ("swirl", "dots", "mosaic", "ink")]


def main() -> None:
    """Paint, score and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", nargs=2, action="append", metavar=("CONTENT", "STYLE"))
    parser.add_argument("--setting", nargs=2, action="append", metavar=("NAME", "FLAGS"))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--sheet", type=Path, help="where the contact sheet goes, .png or .jpg")
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    options = parser.parse_args()
    networks, rows = load_score_networks(), []
    painted: list[list[Tensor]] = []
    for content, style in options.pair or PAIRS:
        painted.append([])
        for name, flags in options.setting or SETTINGS:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "painted.png"
                command = ["stylize", content, style, "--size", str(options.size), *shlex.split(flags)]
                began = time.perf_counter()
                if impasto([*command, "-o", str(path), "--quiet"]):
                    raise SystemExit(f"{name} failed on {content} and {style}")
                seconds = time.perf_counter() - began
                inputs = load_score_inputs(
                    resolve_picture(content, options.size), resolve_picture(style, options.size), path
                )
            row = {"content_image": content, "style_image": style, "setting": name, "seconds": seconds}
            rows.append(row | asdict(score_images(inputs, networks)))
            painted[-1].append(inputs.image)
            if not options.json:
                print("  ".join(f"{v:.3f}" if isinstance(v, float) else Path(v).name for v in rows[-1].values()))
    if options.sheet:
        images.save(options.sheet, sheet(painted))
    if options.json:
        print(json.dumps(rows))
        return
    numbers = [name for name, value in rows[0].items() if isinstance(value, float)]
    print("\nmedians:", ", ".join(numbers))
    for name, _ in options.setting or SETTINGS:
        of = [row for row in rows if row["setting"] == name]
        medians = [statistics.median(float(row[number]) for row in of) for number in numbers]
        print(f"{name:28s}", "  ".join(f"{median:.3f}" for median in medians))


def sheet(painted: list[list[Tensor]]) -> Tensor:
    """Arrange pictures in rows, (1, 3, H, W)."""
    wide = max(image.shape[3] for row in painted for image in row)

    def padded(image: Tensor, tall: int) -> Tensor:
        room = (0, wide + 8 - image.shape[3], 0, tall + 8 - image.shape[2])
        return torch.nn.functional.pad(image, room, value=1.0)

    rows = [torch.cat([padded(image, max(other.shape[2] for other in row)) for image in row], dim=3) for row in painted]
    return torch.cat(rows, dim=2)


if __name__ == "__main__":
    main()
