"""The scales of a run, from coarse to fine. Integers only."""

from __future__ import annotations

from dataclasses import dataclass

from impasto.config.layer_chain import LARGE_PX
from impasto.config.schedule import fitting_scales
from impasto.errors import ConfigError

__all__ = ["Scale", "plan_scales"]

COARSEST_ITERATIONS, BETWEEN_ITERATIONS, LARGE_ITERATIONS = 60, 20, 40
"""Step limits of the coarsest scale, of the scales between it and the full size, and of those that would be pictures by
themselves. At 384 px, 50 full-size steps after 60 coarsest ones end at a total of .687 to .690 with 0, 15 or 30 steps
between: more are wasted. From 512 px on, strokes begin there, at a quarter of the time that the next scale takes."""


@dataclass(frozen=True)
class Scale:
    """A size of the target in pixels, and the steps at that size."""

    height: int
    width: int
    iterations: int


def plan_scales(
    height: int,
    width: int,
    *,
    iterations: int,
    scales: int,
    minimum_px: int = 1,
    multiples: tuple[int, int] = (1, 1),
) -> tuple[Scale, ...]:
    """Halve (height, width) repeatedly, and return the sizes from coarse to fine with their steps.

    Height and width are rounded to `multiples`. The network needs at least `minimum_px` a side. Raises `ConfigError`
    if the scales do not fit.
    """
    if scales > (fitting := fitting_scales(height, width, minimum_px)):
        raise ConfigError(
            f"scales = {scales} does not fit {width}x{height} px, where the coarsest would be under "
            f"{minimum_px} px a side. At most {fitting} do; auto chooses."
        )

    def limit(level: int) -> int:
        if level == 0:
            return iterations
        if level == scales - 1:
            return COARSEST_ITERATIONS
        return LARGE_ITERATIONS if max(height, width) >> level >= LARGE_PX else BETWEEN_ITERATIONS

    def halve(side: int, multiple: int, level: int) -> int:
        return max(1, round((side >> level) / multiple)) * multiple

    return tuple(
        Scale(halve(height, multiples[0], level), halve(width, multiples[1], level), min(iterations, limit(level)))
        for level in reversed(range(scales))
    )
