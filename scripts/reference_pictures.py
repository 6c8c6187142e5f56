"""The references that `compare_pictures.py` paints: small pictures for each part of the method and each kind of run."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyvips

OLD_FLAGS = {
    "--clamp": "--bounded",
    "--no-clamp": "--no-bounded",
    "--detail-transfer": "--detail",
    "--lbfgs-history": "--history",
    "--init-noise": "--noise",
    "--tv-norm": "--tv",
}
# New and old names of three fields of the plan.
TILE_KEYS, DISK_KEYS, WINOGRAD_KEYS = ("tile_px", "block"), ("on_disk", "scratch"), ("winograd_channels", "winograd")

FIXED = "--device cpu --precision float32 --threads 1 --memory 1.9GB --quiet"
SMALL = "--size 96 --iterations 12 --bits 16"
LARGE = "--size 192 --iterations 10 --bits 16"
TILED = "--size 192 --iterations 6 --scales 1 --bits 16"
ON_DISK = f"{LARGE} --lbfgs-history 100 --memory 680MB"
PAIR = "cat.jpg swirl.png"
MASKS = "--content-mask left.png --content-mask right.png"
STEPS_BEFORE_SIGNAL = 12

PRESETS = ("abstract", "classic", "textbook", "crowsonkb", "faithful", "gatys2016")
MORE_PRESETS = ("neural-style", "painterly", "pastiche", "pytorch-tutorial", "sketch", "texture")
STYLE_LOSSES = ("covariance", "mean-std", "wasserstein", "sliced-wasserstein", "neighbor")
TRANSFERS = ("cholesky", "pca", "ot", "histogram")

STYLIZE = {
    # The weights that crowsonkb and pytorch-tutorial ask for are in no package: vgg19's own replace them.
    **{f"preset-{name}": f"{PAIR} --preset {name} --network vgg19 {SMALL}" for name in (*PRESETS, *MORE_PRESETS)},
    **{f"style-loss-{name}": f"cat.jpg ink.png --style-loss {name} {SMALL}" for name in STYLE_LOSSES},
    **{f"color-match-{name}": f"cat.jpg dots.png --color match --color-transfer {name} {SMALL}" for name in TRANSFERS},
    "color-luminance": f"cat.jpg dots.png --color luminance {LARGE}",
    "two-scales": f"{PAIR} {LARGE}",
    "vgg16": f"{PAIR} --network vgg16 {SMALL}",
    "alexnet": f"{PAIR} --network alexnet --scales 2 {LARGE}",
    "bfloat16": f"{PAIR} {LARGE} --precision bfloat16",
    "absolute": f"{PAIR} --units absolute --alpha 0.00001 {SMALL}",
    "layers": "cat.jpg mosaic.png --content-layers relu3_1:2,relu4_2 --style-layers relu1_1:3,pool2,relu3_1 "
    f"--content-loss scaled {SMALL}",
    "adam": f"{PAIR} --optimizer adam --learning-rate 0.03 --scales 2 {LARGE}",
    "adam-pixels": f"{PAIR} --optimizer adam --parametrization pixels {SMALL}",
    "pixels": f"{PAIR} --parametrization pixels --no-clamp --lbfgs-history 4 {SMALL}",
    "fourier-power": f"{PAIR} --fourier-power 1.5 --detail-transfer 0.3 --scales 2 {LARGE}",
    "noise": f"{PAIR} --init-noise white --noise-std 0.2 --seed 7 {SMALL}",
    "tv-squared": f"{PAIR} --tv-weight 10 {SMALL}",
    "tv-absolute": f"{PAIR} --tv-norm absolute --tv-weight 3 {SMALL}",
    "tv-mean-squared": f"{PAIR} --tv-norm mean-squared --tv-weight 3 {SMALL}",
    "laplacian": f"{PAIR} --laplacian-weight 1 {SMALL}",
    "masks": f"{PAIR} ink.png {MASKS} {LARGE}",
    "masks-paired": f"{PAIR} {MASKS} --style-mask top.png --style-mask bottom.png {SMALL}",
    "labels": f"{PAIR} --content-mask labels.png --style-mask labels_style.png {SMALL}",
    "protect": f"{PAIR} --protect left.png {SMALL}",
    "blend": f"{PAIR} dots.png --style-weights 2,1 --style-scale 0.5,120px {SMALL}",
    "init-content": f"{PAIR} --init content {SMALL}",
    "init-style": f"{PAIR} --init style {SMALL}",
    "init-file": f"{PAIR} --init start.png {SMALL}",
    "transparent": f"clear.png swirl.png --enlarge {SMALL}",
    "padding-zero": f"{PAIR} --padding zero {SMALL}",
    "padding-reflect": f"{PAIR} --padding reflect {SMALL}",
    "pooling-avg": f"{PAIR} --pooling avg {SMALL}",
    "pooling-avg-rescaled": f"{PAIR} --pooling avg-rescaled {SMALL}",
    "snapshots": f"cat.jpg dots.png --color luminance --save-every 5 {SMALL}",
}
INSIGHT = {
    "insight-sweep": f"sweep {PAIR} --over alpha=1,20 --over seed=0,1 --size 96 --iterations 8",
    "insight-reconstruct": "reconstruct cat.jpg --layers relu2_1,relu4_1 --size 96 --iterations 8",
    "insight-texture": "texture dots.png --size 96 --iterations 8",
    "insight-features": "features cat.jpg --layers relu1_1,relu3_1 --strongest 3 --size 96",
    "insight-gram": "gram swirl.png dots.png --layers relu1_1,relu2_1 --size 96",
}


class ReferenceFailedError(Exception):
    """A reference that could not be painted, with the reason."""


@dataclass(frozen=True)
class Checkout:
    """A source tree, the folder for its pictures, and the flags that its `stylize` knows."""

    root: Path
    out: Path
    flags: set[str] = field(default_factory=set)

    def start(self, command: Iterable[str]) -> subprocess.Popen[str]:
        """Start an `impasto` command among the inputs, with old flags where this checkout has those."""
        old = {new: old for new, old in OLD_FLAGS.items() if new not in self.flags and old in self.flags}
        settings = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
        return subprocess.Popen(
            [sys.executable, "-m", "impasto", *(old.get(word, word) for word in command)],
            cwd=self.out / "inputs",
            env=os.environ | settings | {"PYTHONPATH": str(self.root / "src")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str) -> str:
        """Run an `impasto` command to its end and return its output. Raises `ReferenceFailedError`."""
        process = self.start(command)
        output, errors = process.communicate()
        if process.returncode:
            last = (errors.strip() or output.strip() or "no message").splitlines()[-1]
            raise ReferenceFailedError(f"impasto {shlex.join(command)} ended with {process.returncode}: {last}")
        return output


def fix_plan(arguments: str) -> list[str]:
    """Split arguments, and append the flags of the fixed plan that are not among them."""
    words, fixed = shlex.split(arguments), shlex.split(FIXED)
    for flag in {"--precision", "--memory"}.intersection(words):
        del fixed[fixed.index(flag) : fixed.index(flag) + 2]
    return words + fixed


def stylize(checkout: Checkout, folder: Path, arguments: str, name: str = "picture.png") -> Path:
    """Paint a picture and return its path."""
    checkout.run("stylize", *fix_plan(arguments), "--output", str(folder / name))
    return folder / name


def draw(checkout: Checkout, folder: Path, arguments: str) -> None:
    """Draw a sheet with an `insight` command."""
    words = fix_plan(arguments)
    if words[0] in ("features", "gram"):  # which have no such option
        del words[words.index("--precision") : words.index("--precision") + 2]
    checkout.run("insight", *words, "--output", str(folder / "sheet.png"))


def demo(checkout: Checkout, folder: Path) -> None:
    """Run the demo, in 8 bits."""
    checkout.run("demo", *fix_plan("--size 96 --iterations 6"), "--output", str(folder / "picture.png"))


def film(checkout: Checkout, folder: Path) -> None:
    """Paint a picture and a film of its run."""
    stylize(checkout, folder, f"{PAIR} {LARGE} --timelapse {folder / 'film.gif'} --timelapse-seconds 2")


def reproduce(checkout: Checkout, folder: Path, picture: Path) -> None:
    """Reproduce a picture."""
    checkout.run("reproduce", str(picture), "--output", str(folder / "reproduced.png"), "--quiet")


def stylize_and_reproduce(checkout: Checkout, folder: Path) -> None:
    """Paint from many inputs, and reproduce the picture."""
    arguments = f"{PAIR} ink.png {MASKS} --protect protect.png --init start.png {SMALL}"
    reproduce(checkout, folder, stylize(checkout, folder, arguments))


def batch(checkout: Checkout, folder: Path) -> None:
    """Paint two contents in two styles with two values of alpha."""
    fixed = fix_plan(SMALL)
    del fixed[fixed.index("--threads") : fixed.index("--threads") + 2]  # which batch sets itself
    styles = ["--styles", "swirl.png", "--styles", "ink.png", "--sweep", "alpha=2,15", "--workers", "1"]
    checkout.run("batch", "cat.jpg", "mosaic.png", *styles, "--output", str(folder), *fixed)
    shutil.rmtree(folder / ".impasto", ignore_errors=True)


def read_recipe(picture: Path) -> tuple[str, dict[str, Any]]:
    """Return the name of the metadata field that holds a PNG's recipe, and the recipe."""
    image = pyvips.Image.new_from_file(str(picture))
    for name in image.get_fields():
        if name.startswith("png-comment-") and str(image.get(name)).startswith("{"):
            return name, json.loads(image.get(name))
    raise ReferenceFailedError(f"{picture} contains no recipe.")


def reproduce_edited(checkout: Checkout, folder: Path, picture: Path, recipe: dict[str, Any]) -> None:
    """Put an edited recipe into a copy of a picture, and reproduce that."""
    image = pyvips.Image.new_from_file(str(picture)).copy()
    image.set_type(pyvips.GValue.gstr_type, read_recipe(picture)[0], json.dumps(recipe))
    image.remove("xmp-data")
    edited = folder / "edited.png"
    image.write_to_file(str(edited))
    reproduce(checkout, folder, edited)
    edited.unlink()


def plan_key(recipe: dict[str, Any], names: tuple[str, ...]) -> str:
    """Return the one of these names that the recorded plan has."""
    found = [name for name in names if name in recipe["plan"]]
    if not found:
        raise ReferenceFailedError(f"The plan has none of {names}: {recipe['plan']}. Add its name to this script.")
    return found[0]


def replan(checkout: Checkout, folder: Path, arguments: str, keys: tuple[str, ...], value: int) -> None:
    """Paint a picture, write another value into the plan of its recipe, and reproduce that."""
    picture = stylize(checkout, folder, arguments)
    _, recipe = read_recipe(picture)
    recipe["plan"][plan_key(recipe, keys)] = value
    reproduce_edited(checkout, folder, picture, recipe)


def stylize_on_disk(checkout: Checkout, folder: Path, arguments: str) -> None:
    """Paint in tiles and on disk, and check the recorded plan."""
    _, recipe = read_recipe(stylize(checkout, folder, arguments))
    if not all(recipe["plan"][plan_key(recipe, keys)] for keys in (TILE_KEYS, DISK_KEYS)):
        raise ReferenceFailedError(f"The plan is not in tiles and on disk: {recipe['plan']}. Change --memory.")


def interrupt(checkout: Checkout, words: list[str], checkpoint: Path, how: signal.Signals) -> None:
    """Start a run with a checkpoint at every step, and send it a signal after some of them."""
    process = checkout.start([*words, "--checkpoint", str(checkpoint), "--checkpoint-every", "0"])
    written = last = 0
    while process.poll() is None and written < STEPS_BEFORE_SIGNAL:
        time.sleep(0.001)
        now = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        written, last = written + (now != last), now
    process.send_signal(how)
    _, errors = process.communicate()
    if process.returncode == 0 or not checkpoint.exists():
        raise ReferenceFailedError(f"The run was not interrupted: status {process.returncode}, {errors.strip()}")


def resume(checkout: Checkout, folder: Path, arguments: str, how: signal.Signals) -> None:
    """Interrupt a run in its second half, and resume it from its checkpoint."""
    checkpoint, picture = folder / "run.checkpoint", folder / "picture.png"
    words = ["stylize", *fix_plan(arguments), "--output", str(picture)]
    interrupt(checkout, words, checkpoint, how)
    picture.unlink(missing_ok=True)  # the picture so far
    checkout.run(*words, "--checkpoint", str(checkpoint), "--resume")


def stop(checkout: Checkout, folder: Path) -> None:
    """Stop a run by a signal, write a fixed step into its recipe, and reproduce that."""
    picture = folder / "stopped.png"
    words = ["stylize", *fix_plan(f"{PAIR} {LARGE}"), "--output", str(picture)]
    interrupt(checkout, words, folder / "run.checkpoint", signal.SIGINT)
    _, recipe = read_recipe(picture)
    key = next(name for name in recipe if name.startswith("stop"))
    recipe[key] = {name: 2 if name == "scale" else 4 for name in recipe[key]}
    reproduce_edited(checkout, folder, picture, recipe)
    picture.unlink()  # it shows whatever step the signal came at


def change_alpha(checkout: Checkout, folder: Path) -> None:
    """Change alpha of a job in the queue, then reproduce its run with changes at three fixed steps."""
    queue, picture = ["--data-dir", str(folder / "queue")], folder / "picture.png"
    words = [word for word in fix_plan(f"{PAIR} {LARGE}") if word != "--quiet"]
    checkout.run("jobs", "add", *words, "--output", str(picture), *queue)
    checkout.run("jobs", "alpha", "1", "30", *queue)  # takes effect after the first step
    checkout.run("jobs", "worker", "--drain", "--quiet", *queue)
    shutil.rmtree(folder / "queue")
    _, recipe = read_recipe(picture)
    lists = [name for name, value in recipe.items() if isinstance(value, list) and "alpha" in str(value)]
    if not lists:
        raise ReferenceFailedError("The recipe of the job lists no change of alpha.")
    print(f"    changes that the job recorded: {recipe[lists[0]]}")
    recipe[lists[0]] = [
        {name: alpha if name == "alpha" else scale if name == "scale" else step for name in recipe[lists[0]][0]}
        for scale, step, alpha in ((1, 4, 40.0), (2, 3, 0.5), (2, 8, 10.0))
    ]
    reproduce_edited(checkout, folder, picture, recipe)


def references() -> dict[str, Callable[[Checkout, Path], object]]:
    """Return the function that paints each reference, by name."""
    large, masked, on_disk = f"{PAIR} {LARGE}", f"{PAIR} ink.png {MASKS}", f"{PAIR} {ON_DISK}"
    return {
        **{name: partial(stylize, arguments=text) for name, text in STYLIZE.items()},
        **{name: partial(draw, arguments=text) for name, text in INSIGHT.items()},
        "demo": demo,
        "film": film,
        "reproduce": stylize_and_reproduce,
        "batch": batch,
        "winograd": partial(replan, arguments=large, keys=WINOGRAD_KEYS, value=128),
        "tiles": partial(replan, arguments=f"{PAIR} {TILED}", keys=TILE_KEYS, value=96),
        "tiles-masks": partial(replan, arguments=f"{masked} {TILED}", keys=TILE_KEYS, value=96),
        "disk": partial(stylize_on_disk, arguments=on_disk),
        "disk-masks": partial(stylize_on_disk, arguments=f"{masked} {ON_DISK}"),
        "resume": partial(resume, arguments=large, how=signal.SIGKILL),
        "resume-signal": partial(resume, arguments=large, how=signal.SIGINT),
        "resume-adam": partial(resume, arguments=f"{large} --optimizer adam", how=signal.SIGKILL),
        "resume-disk": partial(resume, arguments=on_disk, how=signal.SIGKILL),
        "stop": stop,
        "alpha": change_alpha,
    }
