"""Protection of areas of the content.

Laws: where the paint mask is 0, the image has exactly the content's pixels, before every evaluation and in the
result, and the gradient is zero.
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
    """A content image (1, 3, H, W), and a mask (1, 1, H, W) that is 1 where it may be painted over."""

    content: Tensor
    paint_mask: Tensor
    store: TensorStore

    def apply(self, painted: Tensor) -> Tensor:
        """Blend a painted image with the content by the mask, in a new tensor."""
        image = self.store.empty(painted.shape, painted.dtype)
        mask = self.paint_mask[:, 0].to(painted)
        for channel in range(painted.shape[1]):  # one at a time takes a third of the memory
            # lerp returns both of its ends exactly.
            image[:, channel] = torch.lerp(self.content[:, channel].to(painted), painted[:, channel], mask)
            self.store.release(image, painted, self.content)
        return image

    def wrap(self, evaluate: Evaluator) -> Evaluator:
        """Evaluate the blended image, and pass the gradient on to the painted one."""

        def evaluate_blended(painted: Tensor) -> Evaluation:
            evaluation = evaluate(self.apply(painted))
            mask = self.paint_mask[:, 0].to(painted)
            for channel in range(painted.shape[1]):
                evaluation.gradient[:, channel].mul_(mask)
            return evaluation

        return evaluate_blended
