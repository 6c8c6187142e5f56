"""Race against neural-style 0.5.7 from PyPI (ProGamerGov's neural-style-pt), scored by its own code.

    python benchmarks/versus_neural_style.py --content PHOTO --style PAINTING [--steps 1000 | --steps 200 200 200]

neural-style runs with its defaults: 512 px, L-BFGS, random start, content 5, style 100, TV 1e-3. Impasto
minimizes the same objective, from noise too, with the same weights. neural-style prints its loss only
during a run, so a picture is scored by starting neural-style from it and reading the first line.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

import torch
from racing import Run, arguments, environment, paint, pictures, race, report, run, torch_requirement
from safetensors.torch import save_file

from impasto.config.networks import VGG19
from impasto.weights import load

SCALE = 256
"""neural-style multiplies pixels in [0, 1] by this before it subtracts the mean of 0…255."""

TV_WEIGHT = 1e-3 * SCALE
"""The preset has 1e-3 × 255 instead."""

PREPARE = """
import sys
from PIL import Image
picture = Image.open(sys.argv[1]).convert("RGB")
size = int(sys.argv[2])
width, height = (int(size / max(picture.size) * side) for side in picture.size)
picture.resize((width, height), Image.BILINEAR).save(sys.argv[3])
"""


LAUNCH = """
import runpy, sys, torch
# torchvision's compiled part needs CUDA libraries. Without it two operators are missing, which neural-style
# does not use: define them.
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
sys.argv[0] = "neural-style"
runpy.run_module("neural_style.neural_style", run_name="__main__")
"""


def make_environment() -> Path:
    """Install neural-style, and return its Python."""
    # torchvision 0.28 is that of torch 2.13; without its dependencies, which would bring another torch.
    return environment(
        "neural-style",
        torch_requirement(),
        "pillow",
        "numpy",
        without_dependencies=("torchvision==0.28.0", "neural-style==0.5.7"),
    )


def main() -> None:
    """Run the race and report."""
    options = arguments(__doc__, "neural-style", 512)
    python = make_environment()
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.keep or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        content, style = work / "content.png", work / "style.png"
        photo, painting = pictures(options.content, options.style, work)
        for source, target in ((photo, content), (painting, style)):
            command = [python, "-c", PREPARE, source, str(options.size), target]
            subprocess.run(command, check=True)
        theirs, ours = work / "vgg19.pth", work / "vgg19.safetensors"
        write_weights(theirs, ours)

        program = [str(python), "-c", LAUNCH, "-gpu", "c", "-disable_check"]
        program += ["-content_image", str(content), "-style_image", str(style), "-model_file", str(theirs)]
        program += ["-image_size", str(options.size), "-save_iter", "0", "-seed", "0"]

        def score(picture: Path) -> float:
            given = ["-init", "image", "-init_image", str(picture), "-num_iterations", "1", "-print_iter", "1"]
            output = subprocess.check_output([*program, *given], cwd=work, text=True)
            return float(re.findall(r"Total loss: (\S+)", output)[0])

        def rival(number: int, steps: int) -> Run:
            return run(
                [*program, "-num_iterations", str(steps), "-print_iter", "10", "-output_image", "result.png"],
                work / f"neural-style-{number}",
                "result.png",
            )

        def impasto(number: int, steps: int) -> Run:
            asked = ["--preset", "neural-style", "--tv-weight", repr(TV_WEIGHT), "--weights", str(ours)]
            asked += ["--size", str(options.size)]
            return paint(work / f"impasto-{number}", content, style, options.ours or steps // 5, *asked)

        outcomes = [
            race(steps, lambda n, i=i: rival(i, n), lambda n, i=i: impasto(i, n), score, printed)  # type: ignore[misc]
            for i, steps in enumerate(options.steps)
        ]
    report("Impasto against neural-style 0.5.7", outcomes, as_json=options.json)


def printed(rival: Run) -> list[tuple[float, float]]:
    """Parse its own losses, before clamping. It prints no times, but its steps take equally long."""
    found = re.findall(r"Iteration (\d+) / (\d+)\n(?:.*\n)*?\s*Total loss: (\S+)", rival.output)
    return [(rival.seconds * int(step) / int(steps), float(loss)) for step, steps, loss in found]


def write_weights(theirs: Path, ours: Path) -> None:
    """Write the same weights for both: for neural-style a BGR state dict, for Impasto with its scale."""
    weights = load("vgg19")
    state = {}
    for place, layer in enumerate(VGG19.layers):
        if layer.kind == "conv":
            kernel = weights.kernels[layer.name]
            state[f"features.{place}.weight"] = kernel.flip(1) if layer.inputs == 3 else kernel
            state[f"features.{place}.bias"] = weights.biases[layer.name]
    torch.save(state, theirs)
    tensors = {f"{name}.weight": kernel.contiguous() for name, kernel in weights.kernels.items()}
    tensors |= {f"{name}.bias": bias for name, bias in weights.biases.items()}
    tensors["mean"] = torch.tensor([123.68, 116.779, 103.939]) / SCALE
    tensors["std"] = torch.full((3,), 1 / SCALE)
    save_file(tensors, ours)


if __name__ == "__main__":
    main()
