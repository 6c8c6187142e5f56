"""The result of a run: pixels, losses, and the recipe that made them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from impasto import images
from impasto.config import RunOptions
from impasto.core.tensor_store import TensorStore
from impasto.run.recipe import Recipe

__all__ = ["Result"]


@dataclass(frozen=True, eq=False)
class Result:
    """A picture: pixels (1, 3, H, W) in [0, 1], alpha (1, 1, H, W) if the content had one.

    `losses` are measured on exactly these pixels, at full size in float32. With color = "luminance" they are
    those of the painted image, before the content's colors are put back.
    """

    image: Tensor
    alpha: Tensor | None
    losses: dict[str, float]
    iterations: int
    evaluations: int
    seconds: float
    recipe: Recipe
    store: TensorStore

    def save(self, path: str | Path, *, bits: int | None = None, quality: int | None = None) -> Path:
        """Write the picture with its recipe inside. Raises `OutputError`, `ConfigError`."""
        given = {name: value for name, value in (("bits", bits), ("quality", quality)) if value is not None}
        run = RunOptions(**(self.recipe.run.model_dump() | given))
        note = self.recipe.model_copy(update={"run": run}).to_json()
        images.save(Path(path), self.image, self.alpha, bits=run.bits, quality=run.quality, note=note, store=self.store)
        return Path(path)
