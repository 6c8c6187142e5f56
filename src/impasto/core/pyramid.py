"""Which sizes to go through, from coarse to fine. Integers only."""

from __future__ import annotations

from dataclasses import dataclass

from impasto.config.networks import fitting_scales
from impasto.errors import ConfigError

__all__ = ["Scale", "plan_scales"]

COARSEST_ITERATIONS, BETWEEN_ITERATIONS = 60, 20
"""Most steps on the coarsest scale, and on those between it and the full size. At 384 px, 50 full-size steps
end at a total of .687 to .690 after 60 coarsest ones and 0, 15 or 30 between: more are wasted there."""


@dataclass(frozen=True)
class Scale:
    """One stage of a run: the target's size in pixels, and the steps taken there."""

    height: int
    width: int
    iterations: int


def plan_scales(height: int, width: int, *, iterations: int, scales: int, minimum_px: int = 1) -> tuple[Scale, ...]:
    """Sizes by halving from (height, width), coarse to fine; the last is exactly (height, width).

    No coarse side falls below `minimum_px`, what the network needs. Raises `ConfigError` if so many scales do not fit.
    """
    if scales > (fitting := fitting_scales(height, width, minimum_px)):
        raise ConfigError(
            f"scales = {scales} does not fit {width}x{height} px, where the coarsest would be under "
            f"{minimum_px} px a side. At most {fitting} do; auto chooses."
        )

    def most(level: int) -> int:
        if level == 0:
            return iterations
        return COARSEST_ITERATIONS if level == scales - 1 else BETWEEN_ITERATIONS

    return tuple(
        Scale(height >> level, width >> level, min(iterations, most(level))) for level in reversed(range(scales))
    )
