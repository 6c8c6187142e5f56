"""Constraints: pixels of the target that are not painted freely, because they depend on others or on the content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from impasto.core.evaluate import Evaluator

__all__ = ["Both", "Constraint"]


class Constraint(Protocol):
    """A rule that an image follows in every evaluation and in the result."""

    def apply(self, painted: Tensor) -> Tensor:
        """Return the image that a painted one becomes, in a new tensor."""

    def wrap(self, evaluate: Evaluator) -> Evaluator:
        """Evaluate that image, and pass the gradient on to the painted one."""


@dataclass(frozen=True)
class Both:
    """A constraint, and another one that applies after it."""

    first: Constraint
    second: Constraint

    def apply(self, painted: Tensor) -> Tensor:
        """Apply both."""
        return self.second.apply(self.first.apply(painted))

    def wrap(self, evaluate: Evaluator) -> Evaluator:
        """Evaluate with both."""
        return self.first.wrap(self.second.wrap(evaluate))
