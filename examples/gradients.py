"""See what the losses ask of every pixel: their gradients at some steps, drawn as pictures.

python examples/gradients.py [gradients.jpg]
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from impasto import images, samples
from impasto.core.evaluate import AutogradEngine
from impasto.core.method import Progress
from impasto.render.grid import draw_grid
from impasto.run.run import prepare_run

SHOWN = (1, 5, 40)


def asked(progress: Progress, engine: AutogradEngine, **weights: float) -> Tensor:
    """Minus the gradient of one loss alone: where it is positive, the pixel should become brighter."""
    config = progress.objective.config.model_copy(update=weights)
    return -engine.evaluator(replace(progress.objective, config=config))(progress.image.clamp(0, 1)).gradient


def drawn(wish: Tensor) -> Tensor:
    """A wish as a picture: gray is to leave it as it is."""
    return (0.5 + wish / (6 * wish.std())).clamp(0, 1)


def main(output: str = "gradients.jpg", *, size: int = 224, **options: Any) -> None:
    """Three columns, a step each: the target, what content asks of it, what style asks of it."""
    # The first steps from noise part where precision differs, and machines choose theirs.
    told: dict[str, Any] = {"size": size, "scales": 1, "precision": "float32"} | options
    run = prepare_run(samples.photo_path("cat"), samples.paint("swirl", size_px=size), **told)
    engine, columns = AutogradEngine(run.encoder), {}
    for step in run.steps():
        if step.iteration in SHOWN:
            content, style = asked(step, engine, alpha=0), asked(step, engine, content_weight=0)
            agreement = float(torch.cosine_similarity(content.flatten(), style.flatten(), dim=0))
            print(f"step {step.iteration}: content and style agree by {agreement:.2f}")
            columns[f"after step {step.iteration}"] = (step.image.clamp(0, 1).clone(), drawn(content), drawn(style))
    rows = list(zip(*columns.values(), strict=True))
    images.save(Path(output), draw_grid(rows, columns=list(columns), names=["target", "content asks", "style asks"]))


if __name__ == "__main__":
    main(*sys.argv[1:2])
