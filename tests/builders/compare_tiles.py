"""Measure one picture with actors of a cluster and print, as JSON, how the results compare.

test_cluster_tiles.py runs it in its own process, with the address of a cluster.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import ray
import torch
from torch import Tensor

from builders.networks import random_weights
from builders.pixels import random_image
from impasto.config import Config, Plan
from impasto.config.networks import VGG19
from impasto.core.encoder import Encoder
from impasto.core.evaluate import Evaluation
from impasto.core.masks import Region, StyleUse
from impasto.core.targets import build_objective
from impasto.distributed import ClusterError, actor_pool, connected, tile_actor, tile_backend
from impasto.engine import build_engine
from impasto.engine.tiled import TiledEngine

torch.set_num_threads(1)
PLAN = Plan(device="cpu", engine="manual", tile_px=96, threads=1, torch=torch.__version__)
CONFIG = Config(tv_weight=0.3, laplacian_weight=0.7, content_loss="scaled").resolve(161, 250)


ENCODER = Encoder(VGG19, random_weights(VGG19), padding="replicate")
CONTENT, STYLE, TARGET = random_image(1, 161, 250), random_image(2, 150, 130), random_image(3, 161, 250)
MASK = random_image(4, 161, 250, 1)
REGIONS = (Region(MASK, 0.5, (StyleUse(0, 1.0, None),)), Region(1 - MASK, 0.5, (StyleUse(0, 1.0, None),)))


def objective_for(engine: Any) -> Any:
    return build_objective(engine, CONTENT, [(1.0, STYLE)], CONFIG, REGIONS)


def is_same(a: Evaluation, b: Evaluation) -> bool:
    return torch.equal(a.gradient, b.gradient) and a.losses.as_floats() == b.losses.as_floats()


def bytes_sent_by(evaluate: Any, sizes: list[int]) -> int:
    sizes.clear()
    evaluate(TARGET)
    return sum(sizes)


def main(address: str) -> None:
    report: dict[str, Any] = {}
    # All engines use the same convolutions, because in float32 rounding can change which pixel is a maximum.
    # That tiles give autograd's gradient is tested in float64.
    here, whole = build_engine(PLAN, ENCODER), build_engine(PLAN.model_copy(update={"tile_px": None}), ENCODER)
    expected = here.evaluator(objective_for(here), CONFIG.alpha)(TARGET)
    expected_gradient = whole.evaluator(objective_for(whole), CONFIG.alpha)(TARGET).gradient
    sizes: list[int] = []
    pack = tile_actor.packed

    def count_bytes(tensor: Tensor) -> Any:
        sizes.append(tensor.numel() * tensor.element_size())
        return pack(tensor)

    tile_actor.packed = count_bytes
    with connected(address):
        pool = actor_pool.ActorPool(2, 1)
        pool.start(ENCODER, PLAN)
        deadline = time.monotonic() + 60
        while len(pool.actors) < 2 and time.monotonic() < deadline:
            pool.accept_started(1)
            time.sleep(0.1)
        report["actors"] = len(pool.actors)
        engine = build_engine(PLAN, ENCODER, None, lambda local: tile_backend.RayTiles(pool, local))
        assert isinstance(engine, TiledEngine)
        objective = objective_for(engine)
        evaluate = engine.evaluator(objective, CONFIG.alpha)
        report["bytes_first"], report["bytes_again"] = bytes_sent_by(evaluate, sizes), bytes_sent_by(evaluate, sizes)
        result = evaluate(TARGET)
        report["same"] = is_same(result, expected)
        report["error"] = float((result.gradient - expected_gradient).abs().max() / expected_gradient.abs().max())
        local_losses, spread_losses = (
            each.measure(objective_for(each), TARGET, CONFIG.alpha).as_floats() for each in (here, engine)
        )
        report["same losses"] = spread_losses == local_losses

        ray.kill(pool.actors[0])
        report["same after losing one"], report["failures"] = is_same(evaluate(TARGET), expected), pool.failures

        # Kill an actor between the forward pass, which sums, and the backward pass.
        gradients = engine.backend.gradients

        def kill_then_measure(*arguments: Any, **options: Any) -> Any:
            ray.kill(pool.actors[-1])
            return gradients(*arguments, **options)

        engine.backend.gradients = kill_then_measure  # type: ignore[method-assign]
        report["same after losing one midway"], report["failures midway"] = (
            is_same(evaluate(TARGET), expected),
            pool.failures,
        )
        engine.backend.gradients = gradients  # type: ignore[method-assign]

        actor_pool.START_TIMEOUT_S = 0.0
        for actor in (*pool.actors, *pool._starting.values()):
            ray.kill(actor)
        pool._starting.clear()
        pool._start_actor = lambda: None  # type: ignore[method-assign]
        report["same after losing all"], report["remaining"] = is_same(evaluate(TARGET), expected), len(pool.actors)

        def refuse(version: str, node: str) -> None:
            raise ClusterError("another Impasto")

        actor_pool.START_TIMEOUT_S = 60.0
        vars(actor_pool)["require_version"] = refuse
        try:
            actor_pool.ActorPool(1, 1).start(ENCODER, PLAN)
        except ClusterError as error:
            report["version error"] = str(error)
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1])
