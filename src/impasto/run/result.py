"""The result of a run: pixels, losses, and the recipe that made them."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, overload

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from torch import Tensor

from impasto import images
from impasto.config import RunOptions
from impasto.core.tensor_store import RamStore, TensorStore
from impasto.files import ScratchFolder
from impasto.run.recipe import Recipe

__all__ = ["Result"]


@dataclass(frozen=True, eq=False)
class Result:
    """A picture: pixels (1, 3, H, W) in [0, 1], alpha (1, 1, H, W) if the content had one.

    `losses` are measured on exactly these pixels, at full size in float32. Where colors change at the end (luminance
    or palette), they are those of the painted image before.
    """

    image: Tensor
    alpha: Tensor | None
    losses: dict[str, float]
    iterations: int
    evaluations: int
    seconds: float
    recipe: Recipe
    store: TensorStore

    @overload
    def save(self, target: str | Path, *, bits: int | None = None, quality: int | None = None) -> Path: ...

    @overload
    def save(
        self, target: IO[bytes], *, format: str = "png", bits: int | None = None, quality: int | None = None
    ) -> None: ...

    def save(
        self,
        target: str | Path | IO[bytes],
        *,
        format: str = "png",
        bits: int | None = None,
        quality: int | None = None,
    ) -> Path | None:
        """Write the picture with its recipe inside. Returns the path. Raises `OutputError`, `ConfigError`.

        The ending of a path sets its format: .png, .jpg, .webp or .tif. `format` sets that of an open file.
        """
        given = {name: value for name, value in (("bits", bits), ("quality", quality)) if value is not None}
        run = RunOptions(**(self.recipe.run.model_dump() | given))
        note = self.recipe.model_copy(update={"run": run}).to_json()
        options: dict[str, Any] = {
            "bits": run.bits,
            "quality": run.quality,
            "dpi": self.recipe.config.dpi,
            "note": note,
            "store": self.store,
        }
        if isinstance(target, (str, os.PathLike)):
            images.save(Path(target), self.image, self.alpha, **options)
            return Path(target)
        with ScratchFolder() as folder:
            path = folder / f"picture.{format}"
            images.save(path, self.image, self.alpha, **options)
            with path.open("rb") as file:
                shutil.copyfileobj(file, target)
        return None

    def to_numpy(self) -> NDArray[np.uint8]:
        """Return the picture as an array of uint8, (H, W, 3), or (H, W, 4) with alpha."""
        return images.quantize(self.image, self.alpha, 8, RamStore()).astype(np.uint8, copy=False)

    def to_pil(self) -> PIL.Image.Image:
        """Return the picture as a PIL image in mode RGB or RGBA."""
        return PIL.Image.fromarray(self.to_numpy())
