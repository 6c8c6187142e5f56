"""Paint one pair with other programs and with Impasto, and time them, for docs/coming-from.md.

    python benchmarks/other_programs.py [--content PHOTO --style PAINTING] [--size 256] [--time NAME ... | --draw FILE]

Each program runs with its defaults, but for the size. The others take 1000 steps of equal length, so `--time` computes
their time from runs of 20 and of 120 steps. `--draw` takes all steps.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from racing import Run, describe_processors, environment, pictures, run, torch_requirement
from versus_neural_style import LAUNCH, make_environment, write_weights

from impasto import images
from impasto.core.image import resize
from impasto.render.grid import Cell, draw_grid

FEW, MANY, ALL = 20, 120, 1000
REPEATS = 3

Program = Callable[[int], Run]
"""A function that paints result.png in so many steps; Impasto takes its own number."""


def main() -> None:
    """Time the programs, or draw their pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--content", type=Path, help="a photo; without one, those that ship are used")
    parser.add_argument("--style", type=Path, help="a painting")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--time", nargs="*", metavar="NAME", help="programs to time, such as pastiche")
    parser.add_argument("--draw", type=Path, metavar="FILE", help="file for a sheet of all pictures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        photo, painting = (path.resolve() for path in pictures(options.content, options.style, work))
        found = programs(work, photo, painting, options.size)
        if options.draw:
            draw(options.draw, photo, painting, found)
            return
        print(f"{describe_processors()}, {options.size} px")
        for name, program in found.items():
            if not options.time or name in options.time:
                print(f"{name}: {measure(name, program):.0f} s", flush=True)


def programs(work: Path, photo: Path, painting: Path, size: int) -> dict[str, Program]:
    """Return all programs by name, and make their environments."""
    pair = [str(photo), str(painting)]

    def pastiche(steps: int) -> Run:
        python = environment("pastiche", "pastiche==1.6.0", torch_requirement())
        command = [str(python), "-m", "pastiche", "-c", pair[0], "-s", pair[1], "-o", "result.png"]
        return run([*command, "--size", str(size), "--num-steps", str(steps)], work / "pastiche", "result.png")

    def neural_style(steps: int) -> Run:
        python = make_environment()
        weights = work / "vgg19.pth"
        if not weights.exists():
            write_weights(weights, work / "vgg19.safetensors")
        command = [str(python), "-c", LAUNCH, "-gpu", "c", "-disable_check", "-model_file", str(weights)]
        command += ["-content_image", pair[0], "-style_image", pair[1], "-output_image", "result.png"]
        command += ["-image_size", str(size), "-save_iter", "0", "-num_iterations", str(steps)]
        return run(command, work / "neural-style", "result.png")

    def impasto(*options: str) -> Program:
        command = [sys.executable, "-m", "impasto", "stylize", *pair, "-o", "result.png", "--quiet"]
        command += ["--size", str(size)]
        return lambda _: run([*command, *options], work / f"impasto{len(options)}", "result.png")

    return {
        "pastiche": pastiche,
        "neural-style": neural_style,
        "impasto": impasto(),
        "impasto-classic": impasto("--preset", "classic"),
    }


def measure(name: str, program: Program) -> float:
    """Return the seconds of a whole process with the default number of steps."""
    if name.startswith("impasto"):
        return statistics.median(program(0).seconds for _ in range(REPEATS))
    few, many = program(FEW).seconds, program(MANY).seconds
    return few + (many - few) / (MANY - FEW) * (ALL - FEW)


def draw(place: Path, photo: Path, painting: Path, found: dict[str, Program]) -> None:
    """Write a sheet with the photo, the painting, and the pictures of all programs."""
    painted = {name: images.load(program(ALL).pictures[-1][1]).pixels for name, program in found.items()}
    shape = painted["impasto"].shape[-2:]

    def cell(pixels: Path, caption: str) -> Cell:
        return Cell(resize(images.load(pixels).pixels, *shape).clamp(0, 1), caption)

    captions = {
        "pastiche": "pastiche 1.6.0",
        "neural-style": "neural-style 0.5.7",
        "impasto": "Impasto",
        "impasto-classic": "Impasto, --preset classic",
    }
    cells = [cell(photo, "photo"), *(Cell(painted[name], text) for name, text in captions.items())]
    style = images.load(painting).pixels
    width = round(shape[0] * style.shape[3] / style.shape[2])
    cells.insert(1, Cell(resize(style, shape[0], width).clamp(0, 1), "painting"))
    images.save(place, draw_grid([cells[:3], cells[3:]]), quality=85)


if __name__ == "__main__":
    main()
