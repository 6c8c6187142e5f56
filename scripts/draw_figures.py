"""Draw the figures of the docs with the commands that the pages show: `make figures`. Takes about 25 minutes.

python scripts/draw_figures.py [NAME ...]
"""

from __future__ import annotations

import contextlib
import os
import runpy
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageSequence

from impasto.cli import main as impasto

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "figures"
MAX_BYTES = {".jpg": 150_000, ".webp": 250_000}
"""Limits, so that pages load quickly and the repository stays small."""

COMMANDS = (
    "impasto insight recombine sample:cat sample:ink --styles sample:swirl sample:dots sample:mosaic"
    " --size 184 -o recombine.jpg",
    "python examples/watch_steps.py stages.jpg",
    "impasto stylize sample:cat sample:swirl --size 256 -o cat.png --timelapse film.webp --timelapse-seconds 2",
    "impasto insight features sample:cat --layers relu1_1,relu2_1,relu3_1,relu4_1,relu5_1 --strongest 6"
    " -o features.jpg",
    "impasto insight reconstruct sample:cat --size 184 -o reconstruct.jpg",
    "python examples/why_not_pixels.py pixels.jpg",
    "impasto insight gram sample:swirl sample:mosaic --halves --layers relu1_1,relu3_1,relu5_1 --size 512 -o gram.jpg",
    "impasto insight texture sample:swirl --size 184 -o texture.jpg",
    'impasto insight sweep sample:cat sample:swirl --over "content-layers=relu2_2;relu4_2;relu5_2"'
    " --preset classic --size 184 -o layers.jpg",
    "impasto insight sweep sample:cat sample:swirl --over alpha=1,5,25,100 --preset classic --size 184 -o alpha.jpg",
    "impasto insight sweep sample:cat sample:swirl --over alpha=1,5,25,100 --size 192 -o alphas.jpg",
    "impasto insight sweep sample:cat sample:swirl --over alpha=5,20 --over size=256,512 -o small.jpg",
    "impasto insight sweep sample:cat sample:swirl --over supersample=1,1.5,2 --size 256 -o supersample.jpg",
    "impasto insight sweep sample:cat sample:swirl --over style-loss=gram,centered --size 256 -o centered.jpg",
    "impasto insight sweep sample:cat sample:mosaic --over alpha=5,20 --over style-scale=0.5,1 --size 256 -o parts.jpg",
    "impasto insight sweep sample:cat sample:ink --over alpha=2,5 --over style-loss=centered,gram --size 256"
    " -o lines.jpg",
    "impasto insight sweep sample:cat sample:poster --over alpha=2,5 --over init=noise,recolored --size 256"
    " -o poster.jpg",
    "impasto insight sweep sample:cat sample:fire --over alpha=2,5 --size 256 -o fire.jpg",
    "impasto insight sweep sample:cat sample:stone --over color=palette,luminance --size 256 -o stone.jpg",
    "impasto insight sweep sample:cat sample:swirl --over alpha=5,20 --over style-loss=centered,neighbor --size 256"
    " -o neighbors.jpg",
    "python examples/gradients.py gradients.jpg",
    "impasto insight sweep sample:cat sample:swirl --over init=noise,content,style --over iterations=5,45"
    " --preset classic --size 184 -o knobs.jpg",
    "impasto insight sweep sample:cat sample:swirl --over alpha=5,20 --over content-loss=squared,self-similarity "
    "--size 256 -o structure.jpg",
    "impasto insight sweep sample:cat sample:swirl --over content-calm=0,1,3 --size 192 -o calm.jpg",
    "impasto insight sweep sample:cat sample:swirl --over network=vgg19,alexnet --size 224 -o networks.jpg",
    "python examples/blend_styles.py blend.jpg",
    "python examples/seamless.py seamless.jpg",
)
"""Commands as a reader types them. Each writes a file with the name that it has in docs/figures."""


def figures() -> dict[str, str]:
    """Return the command for each figure, by file name."""
    return {next(word for word in reversed(shlex.split(line)) if _is_figure(word)): line for line in COMMANDS}


def _is_figure(word: str) -> bool:
    return word.endswith((".jpg", ".webp"))


def main(names: list[str]) -> None:
    """Draw the named figures, or all of them."""
    for name, line in figures().items():
        if not names or Path(name).stem in names:
            began = time.perf_counter()
            draw(name, line)
            size = (FOLDER / name).stat().st_size
            print(f"{name}: {size / 1000:.0f} kB in {time.perf_counter() - began:.0f} s", flush=True)


def draw(name: str, line: str) -> None:
    """Run one command in an empty folder and compress its figure into docs/figures."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, _inside(Path(folder)):
        # Draw PNG first: compressing a JPEG again would add up the errors of both.
        drawing = Path(name).with_suffix(".png") if name.endswith(".jpg") else Path(name)
        run([str(drawing) if word == name else word for word in shlex.split(line)])
        compress(drawing, FOLDER / name)


def run(words: list[str]) -> None:
    """Run a command of `impasto`, or a script in examples/."""
    program, *rest = words
    if program == "impasto":
        status = impasto([*rest, "--quiet"])
        if status:
            sys.exit(f"{shlex.join(words)} ended with {status}")
        return
    script, *arguments = rest
    runpy.run_path(str(ROOT / script))["main"](*arguments)


def compress(drawing: Path, place: Path) -> None:
    """Save an image or a film with the highest quality that stays below the limit."""
    with Image.open(drawing) as image:
        frames = [(frame.convert("RGB"), frame.info.get("duration", 0)) for frame in ImageSequence.Iterator(image)]
    first, *others = (frame for frame, _ in frames)
    film = {
        "save_all": True,
        "append_images": others,
        "duration": [ms for _, ms in frames],
        "loop": 0,
        "method": 6,
        "minimize_size": True,
    }
    for quality in range(90, 20, -5):
        first.save(place, quality=quality, **(film if others else {"optimize": True}))
        if place.stat().st_size <= MAX_BYTES[place.suffix]:
            return
    sys.exit(f"{place.name} is too large. Draw it smaller.")


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


if __name__ == "__main__":
    main(sys.argv[1:])
