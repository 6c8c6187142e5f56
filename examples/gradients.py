"""Draw the gradients of the content and the style loss at some steps.

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
from impasto.run import prepare_run


def downhill(progress: Progress, engine: AutogradEngine, *, content_weight: float, alpha: float) -> Tensor:
    """Return minus the gradient of one loss: where it is positive, brighter pixels reduce the loss."""
    config = progress.objective.config.model_copy(update={"content_weight": content_weight})
    evaluate = engine.evaluator(replace(progress.objective, config=config), alpha)
    return -evaluate(progress.image.clamp(0, 1)).gradient


def main(output: str = "gradients.jpg", *, size: int = 224, **options: Any) -> None:
    """Draw one column for each step: the target, and the directions of content and style."""
    # The first steps from noise differ with the precision, which "auto" chooses for each machine.
    given: dict[str, Any] = {"size": size, "scales": 1, "precision": "float32", "style_loss": "gram"} | options
    run = prepare_run(samples.photo_path("cat"), samples.paint("swirl", size_px=size), **given)
    engine, columns = AutogradEngine(run.encoder), {}
    for step in run.steps():
        if step.iteration in (1, 5, 40):
            content = downhill(step, engine, content_weight=1, alpha=0)
            style = downhill(step, engine, content_weight=0, alpha=step.alpha)
            agreement = float(torch.cosine_similarity(content.flatten(), style.flatten(), dim=0))
            print(f"step {step.iteration}: content and style agree by {agreement:.2f}")
            drawn = [(0.5 + direction / (6 * direction.std())).clamp(0, 1) for direction in (content, style)]
            columns[f"after step {step.iteration}"] = (step.image.clamp(0, 1).clone(), *drawn)
    rows = list(zip(*columns.values(), strict=True))
    sheet = draw_grid(rows, column_labels=list(columns), row_labels=["target", "content asks", "style asks"])
    images.save(Path(output), sheet)


if __name__ == "__main__":
    main(*sys.argv[1:2])
