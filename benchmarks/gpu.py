"""Measure Impasto on a graphics card: time, memory, and losses against those of the CPU.

    python benchmarks/gpu.py [--json FILE] [--only TEXT]

Takes about three minutes and needs nothing outside of the checkout: the pictures are the samples. Prints a line for
each part. `--only` selects the parts whose names contain a text.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

import impasto
from impasto import samples
from impasto.config import Config
from impasto.config.networks import VGG19
from impasto.core.encoder import Encoder
from impasto.core.evaluate import AutogradEngine, Evaluator
from impasto.core.targets import build_objective
from impasto.engine import DTYPES
from impasto.engine.tiled import TiledEngine
from impasto.engine.torch_state import torch_state
from impasto.run.api import prepare_run
from impasto.run.loop import drive
from impasto.weights import load

PHOTO, PAINTING = "sample:cat", samples.paint("swirl", size_px=1024)
SIZES, REPEATS = (512, 1024, 2048), 5
EVALUATED_SIZES = (256, 512, 1024)
LARGE_PX, LARGE_MEMORY = 2896, 8e9
HUGE_PX, HUGE_MEMORY = 9800, 16e9
"""Of 64 megapixels with the photo's proportions."""

EVALUATIONS = 20
PLAIN_STEPS = 500


def paint(size: int, **options: Any) -> dict[str, Any]:
    """Paint the samples on the card; return seconds, peak memory, losses, and seconds to the first preview."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    run, times = prepare_run(PHOTO, PAINTING, None, **({"size": size, "device": "cuda", "enlarge": True} | options)), []
    result = drive(run, [lambda run, progress: times.append(time.perf_counter())])
    seconds = time.perf_counter() - began
    steps = [after - before for before, after in itertools.pairwise(times)]
    return {
        "size": "x".join(map(str, reversed(result.image.shape[2:]))),
        "seconds": seconds,
        "first_step_s": times[0] - began,
        "median_step_s": statistics.median(steps[-20:]) if steps else None,
        "allocated_gb": torch.cuda.max_memory_allocated() / 1e9,
        "reserved_gb": torch.cuda.max_memory_reserved() / 1e9,
        "tile_px": result.recipe.plan.tile_px,
        "losses": {name: result.losses[name] for name in ("total", "content", "style")},
    }


def paint_often(size: int) -> dict[str, Any]:
    """Paint several times after a warm-up; return the run of median time, with all times."""
    paint(size)
    runs = sorted((paint(size) for _ in range(REPEATS)), key=lambda run: run["seconds"])
    return runs[REPEATS // 2] | {"all_seconds": [run["seconds"] for run in runs]}


def compare_evaluations(size: int) -> dict[str, float]:
    """Measure the seconds of one evaluation of the same objective, by autograd and by Impasto."""
    encoder = Encoder(VGG19, load("vgg19"), device="cuda")
    content, style, target = (torch.rand(1, 3, size, size, device="cuda") for _ in range(3))
    config = Config().resolve(size, size)
    with torch_state():
        engines = {name: TiledEngine(encoder, dtype=dtype) for name, dtype in DTYPES.items()}
        objective = build_objective(engines["float32"], content, [(1.0, style)], config)
        evaluators = {name: engine.evaluator(objective, config.alpha) for name, engine in engines.items()}
        evaluators["autograd"] = AutogradEngine(encoder).evaluator(objective, config.alpha)
        return {name: time_evaluations(evaluate, target) for name, evaluate in evaluators.items()}


def time_evaluations(evaluate: Evaluator, image: torch.Tensor) -> float:
    """Return the median seconds of an evaluation after a warm-up."""
    times = []
    for _ in range(EVALUATIONS + 3):
        began = time.perf_counter()
        evaluate(image)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times[3:])


def compare_plain_loop(size: int) -> dict[str, float]:
    """Return the seconds to the final total of Impasto's own run, and of autograd with torch's L-BFGS on pixels."""
    for progress in impasto.stylize_steps(PHOTO, PAINTING, size=size, device="cuda"):
        last = progress
    goal, objective = float(last.losses.total), last.objective
    encoder = Encoder(VGG19, load("vgg19"), device="cuda", padding=objective.config.padding)
    evaluate = AutogradEngine(encoder).evaluator(objective, last.alpha)
    pixels = torch.rand_like(last.image).requires_grad_()
    optimizer, began = torch.optim.LBFGS([pixels], max_iter=1), time.perf_counter()

    def closure() -> float:
        evaluation = evaluate(pixels)
        pixels.grad = evaluation.gradient * pixels.numel()
        return float(evaluation.losses.total) * pixels.numel()

    total = float("inf")
    for _ in range(PLAIN_STEPS):
        total = float(optimizer.step(closure)) / pixels.numel()  # type: ignore[no-untyped-call]
        if total <= goal:
            break
    return {"impasto_s": last.elapsed_s, "plain_s": time.perf_counter() - began, "goal": goal, "plain_total": total}


def compare_with_cpu(size: int) -> dict[str, float]:
    """Return the losses of the default run at the same options on the card and on the CPU, in float32 on both."""
    totals = {
        device: impasto.stylize(PHOTO, PAINTING, size=size, device=device, precision="float32").losses["total"]
        for device in ("cuda", "cpu")
    }
    return totals | {"ratio": totals["cuda"] / totals["cpu"]}


def main() -> None:
    """Measure, print the figures, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--only", default="", help="text in the names of the parts to measure")
    given = parser.parse_args()
    logging.getLogger("impasto").setLevel(logging.ERROR)
    report: dict[str, Any] = {"card": torch.cuda.get_device_name(), "torch": torch.__version__}
    parts: dict[str, Callable[[], Any]] = {"512 px, first in the process": lambda: paint(512)}
    parts |= {f"{size} px, warm": partial(paint_often, size) for size in SIZES}
    parts |= {f"evaluation at {size} px": partial(compare_evaluations, size) for size in EVALUATED_SIZES}
    parts["card and CPU, 256 px"] = lambda: compare_with_cpu(256)
    parts["plain loop, 512 px"] = lambda: compare_plain_loop(512)
    parts["2896 px in 8 GB"] = lambda: paint(LARGE_PX, memory=LARGE_MEMORY)
    parts["64 megapixels, one step in 16 GB"] = lambda: paint(
        HUGE_PX, memory=HUGE_MEMORY, iterations=1, scales=1, palette_strength=0
    )
    parts = {name: measure for name, measure in parts.items() if given.only in name}
    for name, measure in parts.items():
        try:
            report[name] = measure()
        except Exception as error:  # the other figures are still worth having
            report[name] = {"failed": f"{type(error).__name__}: {error}"}
        print(f"{name:34}", json.dumps(report[name], default=lambda value: round(value, 4)), flush=True)
        if given.json:
            given.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
