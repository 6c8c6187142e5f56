"""Steps and scales of a run, where they are not given."""

from __future__ import annotations

__all__ = [
    "COARSEST_PX",
    "EFFORTS",
    "MAX_STEPS",
    "NEIGHBOR_COARSEST_PX",
    "SETTLING_STEPS",
    "SUPERSAMPLED_PX",
    "SUPERSAMPLES",
    "UNSETTLED_FALL",
    "default_scales",
    "default_supersample",
    "fitting_scales",
]

SETTLING_STEPS, UNSETTLED_FALL, MAX_STEPS = 10, 0.1, 200
"""A picture has not settled if its loss falls by more in the last steps. On ten pairs it falls by .01 to .06. It gets
as many steps again, up to a maximum, which is enough for paintings of one color."""

EFFORTS = {"draft": 0.5, "normal": 1.0, "best": 2.0}
"""Steps relative to the usual number, by name."""

SUPERSAMPLES, SUPERSAMPLED_PX = {"draft": 1.0, "normal": 1.5, "best": 2.0}, (256, 1024)
"""Factors by which a picture is painted larger than it becomes, by effort (benchmarks/RESULTS.md): from the first long
side on, as smaller ones are sketches, and up to the second for what is painted, where strokes have pixels enough."""

COARSEST_PX = 96
"""Below this long side a scale adds nothing that the next one does not find by itself."""

NEIGHBOR_COARSEST_PX = 48
"""The same for neighbors, which are searched once a scale: more scales follow the painting further."""


def default_supersample(height: int, width: int, effort: str) -> float:
    """Return how many times larger than it becomes a picture of this size is painted."""
    least_px, most_px = SUPERSAMPLED_PX
    long_side_px = max(height, width)
    return max(1.0, min(SUPERSAMPLES[effort], most_px / long_side_px)) if long_side_px >= least_px else 1.0


def fitting_scales(height: int, width: int, minimum_px: int) -> int:
    """Return how many sizes fit when each halves the one before and no side may be below `minimum_px`."""
    count = 1
    while min(height, width) >> count >= minimum_px:
        count += 1
    return count


def default_scales(height: int, width: int, minimum_px: int, coarsest_px: int = COARSEST_PX) -> int:
    """Return how many sizes a run goes through: halving while the long side is at least `coarsest_px`."""
    count = 1
    while max(height, width) >> count >= coarsest_px:
        count += 1
    return min(count, fitting_scales(height, width, minimum_px))
