"""The temporal term of a frame of a clip: it keeps to what earlier frames showed at the same place of the scene.

    Temporal = sum over positions of c · (x − r)² / number of values

with the earlier pictures r moved to where the scene is now, and the confidence c: 1 where both frames show the same
part of it, 0 where it was hidden or lies at the edge of something that moves (Ruder, Dosovitskiy, Brox 2016, eq. 7).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from impasto.core.evaluate import Evaluation, Evaluator
from impasto.core.objective import Losses
from impasto.core.tensor_store import TensorStore, iter_chunks

__all__ = ["Reference", "TemporalTerm"]


@dataclass(frozen=True)
class Reference:
    """Earlier pictures (1, 3, H, W), moved to where the scene is now, and their confidence (1, 1, H, W) in [0, 1].

    `still`, (1, 1, H, W), is 1 where nothing moved, and the picture keeps exactly these pixels. `weight` is the factor
    of the term in the total.
    """

    pixels: Tensor
    confidence: Tensor
    weight: float
    still: Tensor | None = None


@dataclass(frozen=True)
class TemporalTerm:
    """The temporal term of one frame."""

    reference: Reference
    store: TensorStore

    def add(self, losses: Losses, image: Tensor) -> Losses:
        """Return the losses of an image with the term."""
        return self._add(losses, self._error(image, None))

    def wrap(self, evaluate: Evaluator) -> Evaluator:
        """Add the term to losses and gradient."""

        def evaluate_with_term(image: Tensor) -> Evaluation:
            evaluation = evaluate(image)
            error = self._error(image, evaluation.gradient)
            return Evaluation(self._add(evaluation.losses, error), evaluation.gradient)

        return evaluate_with_term

    def _add(self, losses: Losses, error: Tensor) -> Losses:
        error = error.to(losses.total)
        return replace(losses, total=losses.total + self.reference.weight * error, temporal=error)

    def _error(self, image: Tensor, into: Tensor | None) -> Tensor:
        """Compute the term, a channel at a time to save memory, and add its gradient times the weight to `into`."""
        pixels, count = self.reference.pixels, image.numel()
        error = torch.zeros((), device=image.device)
        for channel in range(image.shape[1]):
            parts = [image[:, channel], pixels[:, channel], self.reference.confidence[:, 0]]
            gradient = [] if into is None else [into[:, channel]]
            for x, r, c, *out in iter_chunks(self.store, *parts, *gradient):
                difference = x - r.to(x)
                weighted = difference * c.to(x)
                error += torch.dot(weighted, difference) / count
                for part in out:
                    part.add_(weighted.to(part), alpha=2 * self.reference.weight / count)
        return error
