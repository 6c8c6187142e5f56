"""The result of a run: pixels, losses, and the recipe that made them."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypedDict, Unpack, overload

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from torch import Tensor

from impasto import images
from impasto.config import RunOptions
from impasto.config.run_options import Intent
from impasto.core.display import describe_losses, encode_png
from impasto.core.tensor_store import RamStore, TensorStore
from impasto.files import ScratchFolder
from impasto.images import OutputProfile
from impasto.run.recipe import Recipe

__all__ = ["Result"]


class FileOptions(TypedDict, total=False):
    """Options of a file, which are those of the run by default."""

    bits: int | None
    quality: int | None
    profile: str | Path | None
    intent: Intent | None


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
    profile: OutputProfile
    peak: float = 1.0

    @overload
    def save(self, target: str | Path, **options: Unpack[FileOptions]) -> Path: ...

    @overload
    def save(self, target: IO[bytes], *, format: str = "png", **options: Unpack[FileOptions]) -> None: ...

    def save(
        self, target: str | Path | IO[bytes], *, format: str = "png", **options: Unpack[FileOptions]
    ) -> Path | None:
        """Write the picture with its recipe inside. Returns the path. Raises `OutputError`, `ConfigError`.

        The ending of a path sets its format: .png, .jpg, .webp, .tif or .exr. `format` sets that of an open file.
        `options` are `bits`, `quality`, `profile` and `intent`, in place of those of the run.
        """
        given = {name: value for name, value in options.items() if value is not None}
        run, profile = RunOptions(**(self.recipe.run.model_dump() | given)), self.profile
        if "profile" in given:
            profile = images.load_profile(run.profile)
            run = run.model_copy(update={"profile": profile.name})
        recipe = self.recipe.model_copy(update={"run": run, "profile_sha256": profile.sha256})
        encoding = self._encoding(run, profile) | {"note": recipe.to_json()}
        if isinstance(target, (str, os.PathLike)):
            images.save(Path(target), self.image, self.alpha, **encoding)
            return Path(target)
        with ScratchFolder() as folder:
            path = folder / f"picture.{format}"
            images.save(path, self.image, self.alpha, **encoding)
            with path.open("rb") as file:
                shutil.copyfileobj(file, target)
        return None

    def _encoding(self, run: RunOptions, profile: OutputProfile) -> dict[str, Any]:
        """Return the options of a file as `images.save` takes them."""
        values = {"bits": run.bits, "quality": run.quality, "profile": profile, "intent": run.intent}
        return values | {"dpi": self.recipe.config.dpi, "peak": self.peak, "store": self.store}

    def to_numpy(self) -> NDArray[np.uint8]:
        """Return the picture as an array of uint8, (H, W, 3), or (H, W, 4) with alpha."""
        return images.quantize(self.image, self.alpha, 8, RamStore()).astype(np.uint8, copy=False)

    def to_pil(self) -> PIL.Image.Image:
        """Return the picture as a PIL image in mode RGB or RGBA."""
        return PIL.Image.fromarray(self.to_numpy())

    def __repr__(self) -> str:
        height, width = self.image.shape[2:]
        return f"Result({width}×{height} px in {self.seconds:.1f} s, {describe_losses(self.losses)})"

    def _repr_png_(self) -> bytes:
        return encode_png(self.image, self.alpha)
