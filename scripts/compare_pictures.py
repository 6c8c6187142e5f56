"""Paint one set of small pictures with two checkouts, and compare their pixels.

    python scripts/compare_pictures.py paint CHECKOUT OUT [--only NAME ...]
    python scripts/compare_pictures.py diff OUT_A OUT_B [--only NAME ...]
    python scripts/compare_pictures.py list

`paint` runs `python -m impasto` from CHECKOUT/src with the interpreter that runs this script. It writes each reference
of `reference_pictures.py` into its own folder OUT/NAME, and replaces that folder if it exists. `diff` decodes all
pictures (every frame, 8 or 16 bits) and prints one row for each reference: identical, or the largest and the mean
difference as shares of full scale. It does not compare files, because they contain the recipe, whose keys change. The
exit status is 1 if a reference failed or differs. NAME may be a pattern, such as 'preset-*'.

Paint both checkouts on one machine, with the same interpreter and with this same script. The weights of vgg16 and
alexnet must be there: run `impasto weights pull vgg16` and `impasto weights pull alexnet` once.

The plan is fixed, so that it depends neither on the checkout nor on how busy the machine is:
- cpu, float32 and one thread, by flags and OMP_NUM_THREADS.
- `--memory 1.9GB`. Below 2 GB, Winograd's convolution is never chosen, so its timing has no effect; all of this fits.
- `winograd` and `tiles*` write the plan that they need into the recipe of a finished picture and reproduce that.
- `disk*` have a budget between the needs of a run on disk and of one in memory, and check the recorded plan.
Changes of alpha, and a stop, happen at fixed steps: they are written into a recipe, in the form that the same checkout
recorded for another step. Runs to be resumed are killed at any step, which must not change the picture.

References use the new names of flags. A checkout whose help lists only the old name gets that one (`OLD_FLAGS`).
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image
from reference_pictures import Checkout, ReferenceFailedError, references

INPUTS = "inputs"
SUFFIXES = (".png", ".jpg", ".gif")


def write_inputs(checkout: Checkout) -> None:
    """Write the pictures that ship with a checkout, and masks, a start and a transparent photo made of them."""
    inputs = checkout.out / INPUTS
    shutil.rmtree(inputs, ignore_errors=True)
    inputs.mkdir(parents=True)
    checkout.run("samples", "write", "--size", "256")
    with Image.open(inputs / "cat.jpg") as photo, Image.open(inputs / "swirl.png") as painting:
        across = np.tile(np.linspace(0, 1, photo.width), (photo.height, 1))
        down = np.tile(np.linspace(0, 1, painting.height)[:, None], (1, painting.width))
        photo.resize((80, 53)).rotate(180).save(inputs / "start.png")
        clear = photo.resize((90, 60))
    right = (across * 3 - 1).clip(0, 1)  # the middle third blends
    masks = {"left": 1 - right, "right": right, "protect": across > 0.8, "top": down < 0.5, "bottom": down >= 0.5}
    for name, shares in masks.items():
        to_gray(shares).save(inputs / f"{name}.png")
    for name, shares in {"labels": across, "labels_style": down}.items():
        colors = np.where(shares[..., None] < 0.4, [255, 0, 0], [0, 0, 255])
        Image.fromarray(colors.astype(np.uint8)).save(inputs / f"{name}.png")
    clear.putalpha(to_gray(right).resize(clear.size))
    clear.save(inputs / "clear.png")


def to_gray(shares: NDArray[Any]) -> Image.Image:
    """Convert shares of white to a gray picture."""
    return Image.fromarray((shares * 255).astype(np.uint8))


def paint(root: Path, out: Path, names: list[str]) -> int:
    """Paint references into OUT; return 1 if one failed."""
    painters, failed, began = references(), 0, time.monotonic()
    checkout = Checkout(root.resolve(), out.resolve())
    write_inputs(checkout)
    checkout.flags.update(re.findall(r"--[a-z][a-z-]*", checkout.run("stylize", "--help")))
    for name in names:
        folder, before_s, outcome = checkout.out / name, cpu_s(), "painted"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            painters[name](checkout, folder)
        except ReferenceFailedError as error:
            failed += 1
            outcome = f"FAILED: {error}"
        print(f"{name:30} {cpu_s() - before_s:5.1f} s  {outcome}", flush=True)
    elapsed_s = time.monotonic() - began
    print(f"{len(names) - failed} of {len(names)} painted in {elapsed_s:.0f} s ({cpu_s():.0f} s of processor time)")
    return 1 if failed else 0


def cpu_s() -> float:
    """Return the processor seconds of all commands that have ended."""
    return sum(os.times()[2:4])


def decode(path: Path) -> NDArray[np.float64]:
    """Decode all frames of a picture, as shares of full scale."""
    image = pyvips.Image.new_from_file(str(path), **({"n": -1} if path.suffix == ".gif" else {}))
    pixels: NDArray[Any] = image.numpy()
    return pixels / np.iinfo(pixels.dtype).max


def compare(one: Path, other: Path) -> tuple[bool, str]:
    """Compare the pictures of two folders: return True if they are the same, and a description."""
    pictures = [sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES) for folder in (one, other)]
    count = len(pictures[0])
    if not count or count != len(pictures[1]):
        return False, f"DIFFERS: {count} pictures and {len(pictures[1])}"
    differences = []
    for path, match in zip(*pictures, strict=True):
        first, second = decode(path), decode(match)
        if first.shape != second.shape:
            return False, f"DIFFERS: {path.name} has shape {first.shape} and {second.shape}"
        differences.append(np.abs(first - second))
    changed = sum(bool(difference.any()) for difference in differences)
    if not changed:
        return True, f"identical ({count})"
    largest, mean = max(d.max() for d in differences), np.mean([d.mean() for d in differences])
    return False, f"DIFFERS in {changed} of {count}: largest {largest:.2g}, mean {mean:.2g}"


def diff(one: Path, other: Path, names: list[str]) -> int:
    """Print a row for each reference; return 1 if one differs."""
    same = 0
    for name in names:
        is_same, description = compare(one / name, other / name)
        same += is_same
        print(f"{name:30} {description}")
    print(f"{same} of {len(names)} references are identical")
    return 0 if same == len(names) else 1


def main() -> int:
    """Parse the command line and run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("paint", "diff", "list"))
    parser.add_argument("paths", type=Path, nargs="*", help="CHECKOUT OUT, or OUT_A OUT_B")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="NAME", help="names or patterns of references")
    given = parser.parse_args()
    known = [*([INPUTS] if given.command == "diff" else []), *references()]
    names = [name for name in known if any(fnmatch.fnmatch(name, pattern) for pattern in given.only)]
    if given.command == "list":
        print("\n".join(names))
        return 0
    if len(given.paths) != 2 or not names:
        parser.error("give two paths, and names that `list` prints")
    first, second = given.paths
    return paint(first, second, names) if given.command == "paint" else diff(first, second, names)


if __name__ == "__main__":
    sys.exit(main())
