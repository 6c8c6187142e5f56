"""Measure one picture with actors of a cluster and print, as JSON, how the results compare.

test_cluster_tiles.py runs it in its own process, with the address of a cluster.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from builders.networks import random_weights
from builders.pixels import random_image
from impasto.config import Config, Plan, ResolvedConfig
from impasto.config.networks import VGG19
from impasto.core.encoder import Encoder
from impasto.core.evaluate import Evaluation
from impasto.core.masks import Region, StyleUse
from impasto.core.targets import build_objective
from impasto.distributed import ClusterError, Driver
from impasto.distributed.tile_backend import RayTiles
from impasto.engine import build_engine
from impasto.engine.local_tiles import LocalTiles
from impasto.engine.tiled import TiledEngine

torch.set_num_threads(1)
PLAN = Plan(device="cpu", engine="manual", tile_px=96, threads=1, torch=torch.__version__)
OPTIONS: dict[str, Any] = {"content_layers": "relu4_2", "style_layers": "relu1_1,relu2_1,relu3_1"}
CONFIG = Config(tv_weight=0.3, laplacian_weight=0.7, content_loss="scaled", content_calm=1, **OPTIONS).resolve(161, 250)
MEETING = Config(wrap="both", content_layers="relu2_2", style_layers="relu1_1,relu3_1").resolve(160, 240)
"""A picture whose edges meet has tiles with margins on all sides, so that deeper layers would take far longer."""

ENCODER = Encoder(VGG19, random_weights(VGG19), padding="replicate")
CONTENT, STYLE, TARGET = random_image(1, 161, 250), random_image(2, 150, 130), random_image(3, 161, 250)
MASK = random_image(4, 161, 250, 1)
REGIONS = (Region(MASK, 0.5, (StyleUse(0, 1.0, None),)), Region(1 - MASK, 0.5, (StyleUse(0, 1.0, None),)))


NEIGHBORS = Config(style_loss="neighbor").resolve(161, 250)


def objective_for(engine: Any, config: ResolvedConfig = CONFIG) -> Any:
    return build_objective(engine, CONTENT, [(1.0, STYLE)], config, REGIONS)


def is_same(a: Evaluation, b: Evaluation) -> bool:
    return torch.equal(a.gradient, b.gradient) and a.losses.as_floats() == b.losses.as_floats()


def main(address: str) -> None:
    report: dict[str, Any] = {}
    # All engines use the same convolutions, because in float32 rounding can change which pixel is a maximum.
    # That tiles give autograd's gradient is tested in float64.
    here, whole = build_engine(PLAN, ENCODER), build_engine(PLAN.model_copy(update={"tile_px": None}), ENCODER)
    expected = here.evaluator(objective_for(here), CONFIG.alpha)(TARGET)
    expected_gradient = whole.evaluator(objective_for(whole), CONFIG.alpha)(TARGET).gradient
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FAULTS"] = folder
        with Driver("builders.faulty_tiles", address) as driver:
            measure(driver, Path(folder), expected, expected_gradient, here, report)
        os.environ["REFUSE"] = "1"
        with Driver("builders.faulty_tiles", address) as driver:
            try:
                RayTiles(driver, LocalTiles(ENCODER), PLAN, 1)
            except ClusterError as error:
                report["version error"] = str(error)
    print(json.dumps(report))


def measure(
    driver: Driver, folder: Path, expected: Evaluation, expected_gradient: Tensor, here: Any, report: dict[str, Any]
) -> None:
    """Compare what a driver's actors measure, with the faults that the folder requests."""
    sizes: list[int] = []
    send = driver.send

    def count_bytes(message: Any) -> None:
        sizes.append(len(message) if isinstance(message, bytes) else 0)
        send(message)

    driver.send = count_bytes  # type: ignore[method-assign]

    def state(name: str) -> int:
        return int(json.loads((folder / "state").read_text())[name])

    def same_after(fault: str) -> bool:
        (folder / "fault").write_text(fault)
        return is_same(evaluate(TARGET), expected)

    def bytes_sent() -> int:
        sizes.clear()
        evaluate(TARGET)
        return sum(sizes)

    engine = build_engine(PLAN, ENCODER, None, lambda local: RayTiles(driver, local, PLAN, 2))
    assert isinstance(engine, TiledEngine)
    objective = objective_for(engine)
    evaluate = engine.evaluator(objective, CONFIG.alpha)
    report["bytes_first"], report["bytes_again"] = bytes_sent(), bytes_sent()
    deadline = time.monotonic() + 300
    while state("actors") < 2 and time.monotonic() < deadline:
        evaluate(TARGET)
    report["actors"] = state("actors")
    result = evaluate(TARGET)
    report["same"] = is_same(result, expected)
    report["error"] = float((result.gradient - expected_gradient).abs().max() / expected_gradient.abs().max())
    local_losses, distributed_losses = (
        each.measure(objective_for(each), TARGET, CONFIG.alpha).as_floats() for each in (here, engine)
    )
    report["same losses"] = distributed_losses == local_losses
    ours, theirs = (each.evaluator(objective_for(each, NEIGHBORS), 5.0)(TARGET) for each in (here, engine))
    report["same neighbors"] = is_same(theirs, ours)

    window = (..., slice(160), slice(240))
    ours, theirs = (
        each.evaluator(build_objective(each, CONTENT[window], [(1.0, STYLE)], MEETING), 5.0)(TARGET[window])
        for each in (here, engine)
    )
    report["same with edges that meet"] = is_same(theirs, ours)

    report["same after losing one"], report["failures"] = same_after("kill first"), state("failures")

    # Kill an actor between the forward pass, which sums, and the backward pass.
    gradients = engine.backend.gradients

    def kill_then_measure(*arguments: Any, **options: Any) -> Any:
        (folder / "fault").write_text("kill last")
        return gradients(*arguments, **options)

    engine.backend.gradients = kill_then_measure  # type: ignore[method-assign]
    report["same after losing one midway"], report["failures midway"] = (
        is_same(evaluate(TARGET), expected),
        state("failures"),
    )
    engine.backend.gradients = gradients  # type: ignore[method-assign]

    report["same after losing all"], report["remaining"] = same_after("kill all"), state("actors")


if __name__ == "__main__":
    main(sys.argv[1])
