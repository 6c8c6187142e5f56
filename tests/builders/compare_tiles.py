"""A program that measures one picture with the actors of a cluster, and prints comparisons as JSON.

`test_cluster_tiles.py` runs it in a process of its own, with the address of a cluster.
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


def asked(engine: Any) -> Any:
    return build_objective(engine, CONTENT, [(1.0, STYLE)], CONFIG, REGIONS)


def same(a: Evaluation, b: Evaluation) -> bool:
    return torch.equal(a.gradient, b.gradient) and a.losses.as_floats() == b.losses.as_floats()


def sent_by(evaluate: Any, sizes: list[int]) -> int:
    sizes.clear()
    evaluate(TARGET)
    return sum(sizes)


def main(address: str) -> None:
    told: dict[str, Any] = {}
    # In float32 a maximum that rounding flips is a difference of its own, so the convolutions are the same ones:
    # that blocks give autograd's gradient is tested in float64.
    here, whole = build_engine(PLAN, ENCODER), build_engine(PLAN.model_copy(update={"tile_px": None}), ENCODER)
    expected = here.evaluator(asked(here), CONFIG.alpha)(TARGET)
    plain = whole.evaluator(asked(whole), CONFIG.alpha)(TARGET).gradient
    sizes: list[int] = []
    pack = tile_actor.packed

    def counted(tensor: Tensor) -> Any:
        sizes.append(tensor.numel() * tensor.element_size())
        return pack(tensor)

    tile_actor.packed = counted
    with connected(address):
        team = actor_pool.ActorPool(2, 1)
        team.start(ENCODER, PLAN)
        until = time.monotonic() + 60
        while len(team.actors) < 2 and time.monotonic() < until:
            team.accept_started(1)
            time.sleep(0.1)
        told["members"] = len(team.actors)
        engine = build_engine(PLAN, ENCODER, None, lambda local: tile_backend.RayTiles(team, local))
        assert isinstance(engine, TiledEngine)
        objective = asked(engine)
        evaluate = engine.evaluator(objective, CONFIG.alpha)
        told["first"], told["again"] = sent_by(evaluate, sizes), sent_by(evaluate, sizes)
        found = evaluate(TARGET)
        told["same"] = same(found, expected)
        told["error"] = float((found.gradient - plain).abs().max() / plain.abs().max())
        alone, spread = (each.measure(asked(each), TARGET, CONFIG.alpha).as_floats() for each in (here, engine))
        told["measured"] = spread == alone

        ray.kill(team.actors[0])
        told["one gone"], told["lost"] = same(evaluate(TARGET), expected), team.failures

        # In the middle: between what is summed and what is sent back.
        gradients = engine.backend.gradients

        def bereft(*arguments: Any, **options: Any) -> Any:
            ray.kill(team.actors[-1])
            return gradients(*arguments, **options)

        engine.backend.gradients = bereft  # type: ignore[method-assign]
        told["gone in the middle"], told["lost then"] = same(evaluate(TARGET), expected), team.failures
        engine.backend.gradients = gradients  # type: ignore[method-assign]

        actor_pool.START_TIMEOUT_S = 0.0
        for actor in (*team.actors, *team._starting.values()):
            ray.kill(actor)
        team._starting.clear()
        team._start_actor = lambda: None  # type: ignore[method-assign]
        told["all gone"], told["left"] = same(evaluate(TARGET), expected), len(team.actors)

        def refuse(version: str, node: str) -> None:
            raise ClusterError("another Impasto")

        actor_pool.START_TIMEOUT_S = 60.0
        vars(actor_pool)["require_version"] = refuse
        try:
            actor_pool.ActorPool(1, 1).start(ENCODER, PLAN)
        except ClusterError as error:
            told["unfit"] = str(error)
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
