"""Part of the composition root: how far a run is, in steps and in work."""

from __future__ import annotations

from impasto.core.method import Progress

__all__ = ["share_done", "step_of"]


def step_of(progress: Progress) -> tuple[int, int]:
    """The number of a step in its whole run, all sizes together, and how many are planned."""
    planned = [scale.iterations for scale in progress.scene.scales]
    return sum(planned[: progress.scale - 1]) + progress.iteration, sum(planned)


def share_done(progress: Progress) -> float:
    """The share of the work that is done: steps times pixels."""
    work = [scale.iterations * scale.height * scale.width for scale in progress.scene.scales]
    size = progress.size
    return (sum(work[: progress.scale - 1]) + progress.iteration * size.height * size.width) / sum(work)
