"""The content over the target, where it is to stay as it is.

Laws: where a picture is not free to be painted its pixels are exactly the content's, before every
measurement and in the end, and have no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.core.evaluate import Evaluation, Evaluator
from impasto.core.tensor_store import TensorStore

__all__ = ["ProtectedImage"]


@dataclass(frozen=True)
class ProtectedImage:
    """A content image (1, 3, H, W), and how far each of its pixels may be painted over, (1, 1, H, W) in [0, 1]."""

    content: Tensor
    free: Tensor
    store: TensorStore

    def __call__(self, painted: Tensor) -> Tensor:
        """The painted image where it is free, the content where it is not: a new image."""
        image = self.store.empty(painted.shape, painted.dtype)
        free = self.free[:, 0].to(painted)
        for channel in range(painted.shape[1]):  # one at a time needs a third of the memory
            # lerp gives both of its ends exactly
            image[:, channel] = torch.lerp(self.content[:, channel].to(painted), painted[:, channel], free)
            self.store.release(image, painted, self.content)
        return image

    def over(self, evaluate: Evaluator) -> Evaluator:
        """The same losses, of the covered image, and their gradient at what is below."""

        def evaluate_covered(painted: Tensor) -> Evaluation:
            evaluation = evaluate(self(painted))
            free = self.free[:, 0].to(painted)
            for channel in range(painted.shape[1]):
                evaluation.gradient[:, channel].mul_(free)
            return evaluation

        return evaluate_covered
