"""Compare settings by judges that did not paint: a table over pairs of pictures, and a contact sheet.

    python benchmarks/quality.py --pair photo.jpg painting.jpg --pair ... --output results/
        [--setting NAME "alpha=5 style_loss=covariance" ...] [--size 256] [--json]
    python benchmarks/quality.py --contents photos/ --styles paintings/ --output results/

Settings are options by their names in Python; `preset=NAME` starts from a preset. The first one is what the others are
compared with: their table has medians, and on how many pairs each is better. Pictures and scores stay in the output
folder, and a second call continues. Look at sheet.jpg, too: no number replaces it.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import impasto
from impasto import images
from impasto.config.presets import load_preset
from impasto.core.image import thumbnail
from impasto.metrics.score import ScoreNetworks, load_score_inputs, load_score_networks, score_images
from impasto.samples.sources import resolve_picture

SETTINGS = [
    ["classic", "preset=classic"],
    ["classic, palette", "preset=classic color=palette"],
    ["default", ""],
    ["default, recolored", "recolor_content=true"],
    ["default, best effort", "effort=best"],
]
PAIRS = [["sample:cat", f"sample:{painting}"] for painting in ("swirl", "dots", "mosaic", "ink")]
JUDGES = ("content", "cfsd", "style", "sliced_wasserstein", "patch", "palette", "histogram")
TILE_PX, GAP_PX = 256, 8


def main() -> None:
    """Paint what is missing, score, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", nargs=2, action="append", metavar=("CONTENT", "STYLE"))
    parser.add_argument("--contents", type=Path, help="folder of photos, each with every painting")
    parser.add_argument("--styles", type=Path, help="folder of paintings")
    parser.add_argument("--setting", nargs=2, action="append", metavar=("NAME", "OPTIONS"))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--output", type=Path, required=True, help="folder of pictures, scores and the sheet")
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    given = parser.parse_args()
    pairs, settings = list_pairs(given), given.setting or SETTINGS
    networks = load_score_networks()
    rows = [
        row
        for name, options in settings
        for row in judge_setting(given.output, name, options, pairs, given.size, networks)
    ]
    images.save(given.output / "sheet.jpg", draw_sheet(pairs, rows, [name for name, _ in settings]))
    if given.json:
        print(json.dumps(rows))
    else:
        print_table(rows, [name for name, _ in settings])


def list_pairs(given: argparse.Namespace) -> list[list[str]]:
    """Return the pairs to paint, by path or sample name."""
    if given.contents and given.styles:
        folders = (sorted(map(str, folder.resolve().iterdir())) for folder in (given.contents, given.styles))
        contents, styles = folders
        return [[content, style] for content in contents for style in styles]
    pairs = given.pair or PAIRS
    return [[name if name.startswith("sample:") else str(Path(name).resolve()) for name in pair] for pair in pairs]


def judge_setting(
    output: Path, name: str, options: str, pairs: list[list[str]], size: int, networks: ScoreNetworks
) -> list[dict[str, Any]]:
    """Paint the pairs with one setting, as a batch, and score each picture once."""
    folder = output / f"{name.replace(', ', '-')}-{size}"
    folder.mkdir(parents=True, exist_ok=True)
    table, scores_path = folder / "pairs.csv", folder / "scores.json"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([["content", "style"], *pairs])
    values = dict(option.split("=", 1) for option in options.split())
    preset = load_preset(values.pop("preset")).overrides() if "preset" in values else {}
    report = impasto.batch(
        pairs=table,
        output=folder,
        workers=1,
        names="{number}_{content}_{style}.png",
        **(preset | values | {"size": size}),
    )
    if report.failed:
        raise SystemExit(f"{name}: {report.failed}")
    known = json.loads(scores_path.read_text()) if scores_path.exists() else {}
    rows = []
    for (content, style), item in zip(pairs, report.items, strict=True):
        key = item.output.name
        if item.output in report.painted or key not in known:
            inputs = load_score_inputs(resolve_picture(content, size), resolve_picture(style, size), item.output)
            known[key] = asdict(score_images(inputs, networks))
            scores_path.write_text(json.dumps(known, indent=1))
        rows.append({"setting": name, "content_image": content, "style_image": style, "picture": str(item.output)})
        rows[-1] |= known[key]
    return rows


def print_table(rows: list[dict[str, Any]], settings: list[str]) -> None:
    """Print medians, and on how many pairs each setting is better than the first one."""
    first = [row for row in rows if row["setting"] == settings[0]]
    print(f"{'':30s}" + "".join(f"{judge[:16]:>18s}" for judge in JUDGES))
    for name in settings:
        own = [row for row in rows if row["setting"] == name]
        cells = []
        for judge in JUDGES:
            better = sum(row[judge] < other[judge] for row, other in zip(own, first, strict=True))
            cells.append(f"{statistics.median(row[judge] for row in own):.3f} ({better:2d}/{len(own)})")
        print(f"{name:30s}" + "".join(f"{cell:>18s}" for cell in cells))


def draw_sheet(pairs: list[list[str]], rows: list[dict[str, Any]], settings: list[str]) -> Tensor:
    """Draw a row for each pair: photo, painting, and the picture of each setting, (1, 3, H, W)."""

    def tile(source: Any) -> Tensor:
        picture = thumbnail(images.load(source).pixels, TILE_PX)
        room = TILE_PX + GAP_PX
        return F.pad(picture, (0, room - picture.shape[3], 0, room - picture.shape[2]), value=1.0)

    lines = []
    for pair in pairs:
        painted = [row["picture"] for name in settings for row in rows if row["setting"] == name and is_of(row, pair)]
        sources = [resolve_picture(name, TILE_PX) for name in pair]
        lines.append(torch.cat([tile(source) for source in (*sources, *painted)], dim=3))
    return torch.cat(lines, dim=2)


def is_of(row: dict[str, Any], pair: list[str]) -> bool:
    """Return True if a row is about this pair."""
    return [row["content_image"], row["style_image"]] == pair


if __name__ == "__main__":
    main()
