"""Measure whether α means the same at every size, and how much the seed changes.

    python benchmarks/alpha.py --pair photo.jpg painting.jpg --pair ...
        [--size 256 512 1024] [--seeds 4] [--option alpha 20] [--enlarge] [--json]

Sizes: paints each pair at every size and reports its losses relative to 512 px (or the middle size). Seeds: paints the
smallest size with several seeds and reports the standard deviation over the mean, and the mean LPIPS between two
pictures. Inputs should be as large as the largest size: a style is never enlarged, and content only with `--enlarge`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from pathlib import Path
from typing import Any

import impasto
from impasto.metrics.lpips import lpips
from impasto.metrics.score import load_score_networks
from impasto.samples.sources import resolve_picture

PAIRS = [["sample:cat", "sample:swirl"], ["sample:cat", "sample:mosaic"]]
LOSSES = ("content", "style", "total")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", nargs=2, action="append", metavar=("CONTENT", "STYLE"))
    parser.add_argument("--size", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--option", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--enlarge", action="store_true", help="content that is smaller than a size")
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    options = parser.parse_args()
    given = dict(options.option) | {"enlarge": options.enlarge}
    report = []
    for content, style in options.pair or PAIRS:
        if not options.json:
            print(f"{Path(content).name}, {Path(style).name}", flush=True)
        pair: dict[str, Any] = {"content_image": content, "style_image": style}
        pair["sizes"] = across_sizes(content, style, options.size, given, quiet=options.json)
        pair["seeds"] = across_seeds(content, style, min(options.size), options.seeds, given)
        report.append(pair)
        if not options.json:
            print("  seeds   ", "  ".join(f"{name} {value:.4f}" for name, value in pair["seeds"].items()), flush=True)
    if options.json:
        print(json.dumps(report))


def painted(content: str, style: str, size: int, given: dict[str, Any]) -> impasto.Result:
    """Paint one picture, with a style of the same size."""
    return impasto.stylize(resolve_picture(content, size), resolve_picture(style, size), size=size, **given)


def across_sizes(
    content: str, style: str, sizes: list[int], given: dict[str, Any], *, quiet: bool
) -> dict[int, dict[str, float]]:
    """Return by size the losses and their ratios to those at 512 px, which is painted first."""
    middle = 512 if 512 in sizes else sorted(sizes)[len(sizes) // 2]
    found: dict[int, dict[str, float]] = {}
    for size in sorted(sizes, key=lambda size: size != middle):
        result = painted(content, style, size, given)
        losses = {name: result.losses[name] for name in LOSSES}
        ratios = {f"{name}_ratio": losses[name] / found.get(middle, losses)[name] for name in LOSSES}
        found[size] = losses | ratios | {"seconds": result.seconds}
        if not quiet:
            shown = (f"{name} {losses[name]:.4f} ({ratios[f'{name}_ratio']:.2f})" for name in LOSSES)
            print(f"  {size:5} px", "  ".join(shown), flush=True)
    return found


def across_seeds(content: str, style: str, size: int, seeds: int, given: dict[str, Any]) -> dict[str, float]:
    """Return the spread of losses over seeds and the distance between the pictures; empty for fewer than two seeds."""
    if seeds < 2:
        return {}
    networks = load_score_networks()
    results = [painted(content, style, size, given | {"seed": seed}) for seed in range(seeds)]
    spread = {}
    for name in LOSSES:
        values = [result.losses[name] for result in results]
        spread[name] = statistics.stdev(values) / statistics.mean(values)
    pairs = itertools.combinations([result.image for result in results], 2)
    distances = [lpips(networks.alexnet, networks.heads, one, other) for one, other in pairs]
    return spread | {"lpips": statistics.mean(distances)}


if __name__ == "__main__":
    main()
