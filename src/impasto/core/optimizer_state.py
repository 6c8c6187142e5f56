"""The state of an optimizer after a step: enough to continue to the bit.

Each class converts itself to named tensors and numbers, and back, so that a checkpoint can store it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from torch import Tensor

__all__ = ["OPTIMIZER_STATES", "AdamState", "LBFGSState", "OptimizerState"]


@dataclass(frozen=True)
class OptimizerState:
    """State that every optimizer has. Tensors are views, valid until the next step.

    `iteration` counts the steps of this scale from 1, `image` is the best image so far.
    """

    iteration: int
    image: Tensor
    evaluations: int
    restarts: int

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    def numbers(self) -> dict[str, Any]:
        """Return the numbers by name, as JSON can store them."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, (int, float))}

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> Self:
        """Return the state that these `tensors` and `numbers` came from."""
        values: dict[str, Any] = {**tensors, **numbers}
        return cls(**values)

    def without_curvature(self) -> Self:
        """Return a state to continue from on another objective. Running averages adapt to it unaided."""
        return self


@dataclass(frozen=True)
class LBFGSState(OptimizerState):
    """State of L-BFGS: the last steps, the change of the gradient along each, and if no step descends from here."""

    steps: tuple[Tensor, ...]
    changes: tuple[Tensor, ...]
    at_rest: bool

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors by name."""
        pairs = enumerate(zip(self.steps, self.changes, strict=True))
        named = ({f"step_{number}": step, f"change_{number}": change} for number, (step, change) in pairs)
        return {"image": self.image} | {name: tensor for pair in named for name, tensor in pair.items()}

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> Self:
        """Return the state that these `tensors` and `numbers` came from."""
        count = len(tensors) // 2
        steps, changes = (tuple(tensors[f"{name}_{n}"] for n in range(count)) for name in ("step", "change"))
        return cls(**numbers, image=tensors["image"], steps=steps, changes=changes)

    def without_curvature(self) -> Self:
        """Return a state to continue from on another objective: its curvature differs."""
        return replace(self, steps=(), changes=(), at_rest=False)


@dataclass(frozen=True)
class AdamState(OptimizerState):
    """State of Adam: the image that moves, running averages of the gradient and its square, and their age."""

    moving: Tensor
    mean: Tensor
    square: Tensor
    age: int
    learning_rate: float


OPTIMIZER_STATES: dict[str, type[OptimizerState]] = {"lbfgs": LBFGSState, "adam": AdamState}
"""By the names of `Config.optimizer`."""
