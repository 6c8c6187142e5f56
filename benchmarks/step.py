"""Compare the time of one evaluation with that of the network's convolutions alone.

    python benchmarks/step.py [--size 512] [--repeats 7] [--json]

The lower bound is the time of all convolutions up to relu5_1, forward and backward to the data, channels last. Variants
run in alternation, so that a change of the machine's speed affects all of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from impasto.config import Config
from impasto.config.networks import VGG19
from impasto.core.encoder import Encoder
from impasto.core.evaluate import AutogradEngine
from impasto.core.targets import build_objective
from impasto.engine import DTYPES
from impasto.engine.tiled import TiledEngine
from impasto.engine.timing import choose_convolution
from impasto.process import keep_freed_memory
from impasto.weights import load


def convolutions(encoder: Encoder, size: int, dtype: torch.dtype) -> Callable[[], object]:
    """Return a function that runs only the convolutions, forward and backward."""
    pairs, side = [], size
    for layer in encoder.network.upto("relu5_1"):
        if layer.kind == "conv":
            kernel = encoder.kernels[layer.name].to(dtype).contiguous(memory_format=torch.channels_last)
            flipped = encoder.kernels[layer.name].flip(2, 3).transpose(0, 1).to(dtype)
            flipped = flipped.contiguous(memory_format=torch.channels_last)
            x, g = (
                torch.rand(1, channels, side, side, dtype=dtype).contiguous(memory_format=torch.channels_last)
                for channels in (layer.inputs, layer.outputs)
            )
            pairs += [(x, kernel), (g, flipped)]
        elif layer.kind == "pool":
            side //= 2

    @torch.no_grad()
    def run() -> None:
        for x, kernel in pairs:
            F.conv2d(x, kernel, padding=1)

    return run


def measure(size: int, repeats: int) -> dict[str, dict[str, float]]:
    """Measure the seconds of each variant at one size: median, minimum, maximum."""
    encoder = Encoder(VGG19, load("vgg19"))
    content, style, target = (torch.rand(1, 3, size, size) for _ in range(3))
    objective = build_objective(TiledEngine(encoder), content, [(1.0, style)], Config().resolve(size, size))
    plain = AutogradEngine(encoder).evaluator(objective, objective.config.alpha)
    variants: dict[str, Callable[[], object]] = {"autograd float32": lambda: plain(target)}
    for name, dtype in DTYPES.items():
        choice = choose_convolution("cpu", "float32" if dtype == torch.float32 else "bfloat16")
        engine = TiledEngine(encoder, dtype=dtype, winograd_channels=choice.winograd_channels, kernels=choice.kernels)
        evaluate = engine.evaluator(objective, objective.config.alpha)
        variants[f"chained {name}"] = lambda evaluate=evaluate: evaluate(target)  # type: ignore[misc]
        variants[f"convolutions {name}"] = convolutions(encoder, size, dtype)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(repeats + 1):
        for name, run in variants.items():
            began = time.perf_counter()
            run()
            if turn:  # the first turn warms up
                seconds[name].append(time.perf_counter() - began)
    return {
        name: {"median": statistics.median(times), "min": min(times), "max": max(times)}
        for name, times in seconds.items()
    }


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    options = parser.parse_args()
    keep_freed_memory()
    report: dict[str, object] = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    for size in options.size:
        figures = measure(size, options.repeats)
        best = min(DTYPES, key=lambda name: figures[f"chained {name}"]["median"])
        ratio = figures[f"chained {best}"]["median"] / figures[f"convolutions {best}"]["median"]
        report[str(size)] = {"seconds": figures, "best_precision": best, "step_over_convolutions": ratio}
        report["step_over_convolutions"] = ratio
        if not options.json:
            print(f"{size}x{size} px, best precision {best}: {ratio:.2f} times the bare convolutions")
            for name, one in figures.items():
                print(f"  {name:24}{one['median']:8.3f} s   ({one['min']:.3f} to {one['max']:.3f})")
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
